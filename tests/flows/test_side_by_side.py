"""Two store-backed use cases in one installation: neither stops, reads or changes what is the other's."""

import logging
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

import asof.use_cases
from asof.settings import Settings
from asof.use_cases import load
from doctor import Addresses, diagnose
from flows.stages import ingest as stage
from flows.stages.inspect import inspect
from flows.stages.parity import parity
from tests.kits.data.extracts import extract_files, write
from tests.kits.use_cases.beside import customers, returns_installed, write_month
from training.features.parity.store_switch import switch_store
from training.release.bundling.code_bundle import bundle_code
from training.release.promotion.history_report import report_history

CUSTOMERS, USERS = 60, 12
SHOP, CHURN = "shop_customers_fv", "users_fv"
FIRST, BROKEN = date(2024, 1, 31), "broken_features_of_a_test"


@pytest.fixture(scope="module", autouse=True)
def installed(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`returns` beside churn, two months of each, and a use case that does not import; the folder of all."""
    folder = tmp_path_factory.mktemp("installed")
    for month in (0, 1):
        write_month(folder / "returns" / f"month_00{month}", customers(CUSTOMERS, month))
        write(folder / "churn" / f"month_00{month}", extract_files(USERS, month=month))
    (folder / "cases" / "broken").mkdir(parents=True)
    (folder / "cases" / "broken" / "__init__.py").write_text("import not_installed_anywhere\n")
    with returns_installed(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(folder / "cases")])
        for name, value in world.items():
            patch.setenv(name, value)
        yield folder
    sys.modules.pop(BROKEN, None)


def ingest(installed: Path, case: str, **more: Any) -> dict[str, int]:
    """The entities of each view that was looked at."""
    done = stage.ingest(str(installed / case), FIRST, use_case=case, **more)
    assert done["parity"]["differences"] == 0
    return {each["view"]: each["entities"] for each in done["online"]["refreshes"]}


def online(settings: Settings, view: str) -> Any:
    """The day of all rows."""
    with psycopg.connect(settings.conninfo()) as connection:
        ((day,),) = connection.execute(f'SELECT DISTINCT event_ts::date FROM online."asof.{view}"'.encode()).fetchall()
    return day


def test_each_is_ingested_where_the_other_never_was_and_changes_nothing_of_it(
    settings: Settings, installed: Path
) -> None:
    assert ingest(installed, "returns", whole=True) == {SHOP: CUSTOMERS}
    assert SHOP not in ingest(installed, "churn")
    newest = date(2024, 2, 29)
    assert (online(settings, SHOP), online(settings, CHURN)) == (newest, newest)
    ingest(installed, "churn", online_as_of=datetime(2024, 1, 31, tzinfo=UTC))
    assert (online(settings, SHOP), online(settings, CHURN)) == (newest, FIRST)
    ingest(installed, "churn")


def test_the_other_store_is_filled_and_compared_for_both(settings: Settings, tmp_path: Path) -> None:
    done = switch_store(settings, load("returns"), "postgres", file=tmp_path / ".env")
    assert done.users == CUSTOMERS + USERS


def test_a_broken_folder_and_a_broken_feature_file_stop_nothing_of_the_others(
    settings: Settings, installed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = installed / "feature_repo" / f"{BROKEN}.py"
    file.write_text("import not_installed_anywhere\n")
    try:
        with caplog.at_level(logging.WARNING, "asof.progress"):
            ingest(installed, "returns")
        assert f"{BROKEN}.py does not import" in caplog.text
        for case in ("returns", "churn"):
            inspect(case, page_at=str(installed / "page.html"))
            assert parity(case)["differences"] == 0
        assert report_history(settings, load("returns")).intact
        assert bundle_code(settings, load("returns")).bento_tag.startswith("shop_returns:code-")
        names = {each["name"] for each in diagnose(Addresses())["findings"]}
        assert {"use-case:broken", f"feature-file:feature_repo/{BROKEN}.py"} <= names
        assert not [each for each in names if each.startswith("could-not-look")]
    finally:
        file.unlink()
