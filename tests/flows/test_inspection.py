"""The terminal's `inspect`, and retraining that stops on what the data checks find."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pandas as pd
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from asof.errors import InspectionError
from asof.settings import Settings
from asof.use_case import UseCase
from asof.use_cases import load
from flows.terminal.runs import run_flow
from simulator import SimulationPlan, simulate
from tests.kits.machine.terminal import call_flows
from tests.kits.models.training import regression
from training.data.extracts.deliveries import find_deliveries
from training.data.snapshots.snapshot import take_snapshot
from training.features.materialisation.feature_registry import apply_features
from training.tracking.client import open_tracking

CHURN = load("churn")
FUTURE = "impossible-date:users.signup_date"
LAST = date(2024, 3, 31)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated months; in the second, one user will sign up in a year."""
    folder = tmp_path_factory.mktemp("broken") / "extracts"
    simulate(SimulationPlan(LAST, users=500, months=3), folder)
    users = pd.read_csv(folder / "month_001" / "users.csv", dtype=str)
    users.loc[7, "signup_date"] = "2025-03-31"
    users.to_csv(folder / "month_001" / "users.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def loaded(settings: Settings, broken: Path, world: dict[str, str]) -> Iterator[dict[str, str]]:
    """Those months loaded, in an environment where stages see them."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in world.items():
            environment.setenv(name, value)
        for each in find_deliveries(broken, first=date(2024, 1, 31), backfill=True):
            take_snapshot(settings, CHURN.extract, each.folder, as_of=each.as_of, known_at=each.known_at)
        apply_features(settings)
        yield world


def use(monkeypatch: pytest.MonkeyPatch, acknowledged: tuple[str, ...]) -> None:
    """The flows' churn use case, with a quick estimator and what it acknowledges."""
    quick = replace(CHURN.estimators["default"], build=regression)
    case = replace(CHURN, estimators={"default": quick}, acknowledged=acknowledged)

    def load_it(_: str) -> UseCase:
        return case

    for module in ("flows.stages.retrain", "flows.stages.inspect"):
        monkeypatch.setattr(f"{module}.load", load_it)


def test_retraining_stops_on_an_error_and_goes_on_once_it_is_acknowledged(
    settings: Settings, loaded: dict[str, str], prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.stages.retrain import retrain

    as_of = datetime(2024, 2, 29, tzinfo=UTC)
    use(monkeypatch, acknowledged=())
    own = {PREFECT_API_URL: prefect_api, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(own), pytest.raises(InspectionError, match="1 after 2024-02-29") as refused:
        run_flow(retrain, "churn", as_of)
    assert refused.value.names == (FUTURE,)
    assert "asof/use_cases/churn/__init__.py" in str(refused.value)
    assert open_tracking(settings).get_experiment_by_name(CHURN.model_name) is None
    asked = {"artifacts": {"key": {"any_": ["inspection"]}}}
    assert FUTURE in httpx.post(f"{prefect_api}/artifacts/filter", json=asked).text

    use(monkeypatch, acknowledged=(FUTURE,))
    result = retrain("churn", as_of, promotion=False)
    assert result["version"]["version"] == "1"
    assert {"severity": "error", "finding": FUTURE, "acknowledged": True} in result["inspection"]


def test_a_month_without_errors_is_trained_on(loaded: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.stages.retrain import retrain

    use(monkeypatch, acknowledged=())
    result = retrain("churn", datetime(2024, 1, 31, tzinfo=UTC), promotion=False)
    assert [each for each in result["inspection"] if each["severity"] != "info"] == []


def test_the_terminal_tells_the_findings_and_fails_where_one_stops_training(
    loaded: dict[str, str], tmp_path: Path
) -> None:
    done = call_flows(loaded, "inspect", "2024-02-29", "--json", "--page", str(tmp_path / "page.html"))
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["stops"] == [FUTURE]
    (finding,) = (each for each in report["findings"] if each["severity"] == "error")
    assert finding["evidence"] == {"after_as_of": 1.0, "before_1900": 0.0, "zero": 0.0}
    assert FUTURE in (tmp_path / "page.html").read_text()


def test_a_folder_is_checked_before_it_is_loaded(world: dict[str, str], broken: Path, tmp_path: Path) -> None:
    nowhere = {**world, "ASOF_POSTGRES_URL": "postgresql://nobody:nothing@127.0.0.1:1/none"}
    done = call_flows(nowhere, "inspect", str(broken), "--as-of", "2024-01-31", "--page", str(tmp_path / "page.html"))
    assert done.returncode == 1, done.stderr
    assert FUTURE in done.stdout
    assert f"Training would stop: {FUTURE}." in done.stdout
    assert (tmp_path / "page.html").is_file()


def test_what_is_neither_a_folder_nor_a_moment_is_reported(world: dict[str, str]) -> None:
    done = call_flows(world, "inspect", "yesterday")
    assert done.returncode == 1
    assert "yesterday is no use case, no folder of extracts, and no moment" in " ".join(done.stderr.split())
