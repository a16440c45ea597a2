"""What a service with a challenger needs is said before its workers start."""

import pytest
from pydantic import ValidationError

from asof.settings import Settings
from tests.kits.service.serving import start_error


def test_without_a_ledger_or_a_registry_the_service_does_not_start(settings: Settings) -> None:
    common = {**settings.environment(), "ASOF_SHADOW": "newest"}
    assert "set ASOF_LEDGER=process" in start_error("churn", {**common, "ASOF_LEDGER": "off"})
    kept = {**common, "ASOF_LEDGER": "process", "MLFLOW_TRACKING_URI": "sqlite:///x.db"}
    assert "ASOF_REGISTRY_URL" in start_error("churn", kept)


@pytest.mark.parametrize("version", ["latest", "0", "-1", "1.5", "newest "])
def test_a_version_is_a_number_or_newest(version: str) -> None:
    with pytest.raises(ValidationError, match="shadow"):
        Settings(shadow=version)
