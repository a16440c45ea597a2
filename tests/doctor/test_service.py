"""The doctor on a running service: its version beside the one in Production, its store, and its end."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from asof.settings import PROJECT, Settings
from doctor.context import Context
from doctor.data.service import check_served_version, check_service
from tests.kits.service import serving as kit
from tests.kits.service.following import mlflow_server
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel


def names(context: Context) -> list[str]:
    return [each.name for check in (check_service, check_served_version) for each in check(context)]


@pytest.fixture
def context(settings: Settings, small_model: "SmallModel") -> Context:
    """The bundled version is in Production."""
    client = open_tracking(settings)
    client.set_registered_model_alias(kit.NAME, "production", small_model.bundle.version)
    return Context(settings, {}, PROJECT, Path())


def test_a_service_is_reported_where_it_is_behind_without_its_store_or_gone(
    settings: Settings, small_model: "SmallModel", context: Context, tmp_path: Path
) -> None:
    client = open_tracking(settings)
    with kit.serving(settings, small_model.bundle.bento_tag, tmp_path) as http:
        kit.eventually(lambda: http.get("/readyz").status_code == 200, 60, tmp_path / "log")
        context = replace(context, services=(str(http.base_url),))
        assert names(context) == []

        second, _ = kit.register_small_model(settings, small_model.contract)
        client.set_registered_model_alias(kit.NAME, "production", second.version)
        assert names(context) == ["served-version"]
        with mlflow_server(settings, tmp_path) as server:
            assert names(replace(context, mlflow=server.address)) == ["served-version"]
        client.set_registered_model_alias(kit.NAME, "production", small_model.bundle.version)
        assert names(context) == []

        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute("ALTER SCHEMA online RENAME TO elsewhere")
            assert names(context) == ["service-not-ready"]
            connection.execute("ALTER SCHEMA elsewhere RENAME TO online")
        kit.eventually(lambda: http.get("/readyz").status_code == 200, 60, tmp_path / "log")
        assert names(context) == []
    assert names(context) == ["service"]
