"""The main job on the real extracts, through the interfaces that people use: the terminal, the Bento, HTTP."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from asof.settings import PROJECT, Settings
from asof.use_cases import load
from local.stack.serve import serving
from tests.kits.machine.free_port import free_port
from tests.kits.machine.terminal import Done, call_flows

JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
CHURN = load("churn")

CALIBRATED = "calibration within bounds"
CRITERIA = (
    "compared on users whom neither was trained on",
    "AUC above the version in Production",
    "log loss no worse than in Production",
    CALIBRATED,
    "feature contract compatible",
    "online store agrees with the offline store",
    "data checks without unacknowledged errors",
    "served bytes agree with the evaluated model",
    "compiled model agrees with scikit-learn",
    "latency within the budget",
)
Run = Callable[..., dict[str, Any]]


def result_of(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def environment(world: dict[str, str], bentoml_home: Path) -> dict[str, str]:
    """The world's, with the BentoML store of this process."""
    return world | {"BENTOML_HOME": str(bentoml_home)}


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    """Runs one command of the terminal in this process and returns its JSON."""
    return lambda *words: result_of(call_flows(environment, *words, "--json"))


@pytest.fixture(scope="module")
def ingested(run: Run, streamflow: Path) -> dict[str, Any]:
    """January, as on its own day: February is not here yet."""
    return run("ingest", str(streamflow / "month_000"), "--as-of", "2024-01-31")


@pytest.fixture(scope="module")
def default(run: Run, ingested: dict[str, Any]) -> dict[str, Any]:
    return run("retrain", "churn", "--as-of", "2024-01-31")


@pytest.fixture(scope="module")
def bento(run: Run, default: dict[str, Any]) -> str:
    return str(run("bundle", "churn")["bento_tag"])


def test_every_row_of_the_month_is_loaded(ingested: dict[str, Any]) -> None:
    tables = {*(table.name for table in CHURN.extract.tables), "labels"}
    (delivery,) = ingested["deliveries"]
    assert delivery["as_of"][:10] == "2024-01-31"
    assert delivery["new_rows"] == dict.fromkeys(tables, 7043)


def test_the_same_extract_again_changes_nothing(run: Run, ingested: dict[str, Any], streamflow: Path) -> None:
    done = run("ingest", str(streamflow / "month_000"), "--as-of", "2024-01-31")
    assert {new for each in done["deliveries"] for new in each["new_rows"].values()} == {0}
    assert {view["since"] for view in done["online"]["refreshes"]} == {None}


def test_no_user_without_internet_is_recorded_as_streaming(settings: Settings, ingested: dict[str, Any]) -> None:
    from training.features.datasets.dataset import build_training_set

    frame = build_training_set(settings, CHURN, JANUARY).frame
    without = frame[frame["net_service"] == "No"]
    assert len(without) == 1526
    assert set(without["plan_stream_tv"]) | set(without["plan_stream_movies"]) == {"not applicable"}


def test_the_baseline_ranks_users_well_and_its_probabilities_are_not_calibrated(
    settings: Settings, ingested: dict[str, Any]
) -> None:
    """A forest of balanced trees gives probabilities of another base rate."""
    from training.features.datasets.dataset import build_training_set
    from training.metrics.classification import calibration_error
    from training.models.fitting.fit import divide, fit, predictions

    training_set = build_training_set(settings, CHURN, JANUARY, feature_service="churn_v1")
    sides = divide(CHURN, training_set, estimator="seed-baseline")
    forest = fit(CHURN.estimator("seed-baseline"), sides.train_side, random_state=42)
    labels, probabilities = sides.held_out.labels, predictions(forest, sides.held_out)
    assert roc_auc_score(labels, probabilities) == pytest.approx(0.81, abs=0.01)
    assert calibration_error(labels, probabilities) == pytest.approx(0.094, abs=0.02)


@pytest.mark.soak
def test_the_gate_refuses_the_baseline_for_its_calibration(run: Run, default: dict[str, Any]) -> None:
    baseline = run("retrain", "churn", "--as-of", "2024-01-31", "--estimator", "seed-baseline")
    assert baseline["promotion"]["promoted"] is False
    assert CALIBRATED in [each["name"] for each in baseline["promotion"]["criteria"] if not each["passed"]]


def test_the_default_estimator_is_promoted(default: dict[str, Any]) -> None:
    assert default["version"]["metrics"]["auc"] >= 0.84
    assert (default["promotion"]["promoted"], default["promotion"]["previous"]) == (True, None)
    assert {each["passed"] for each in default["promotion"]["criteria"]} == {True}


@pytest.mark.soak
def test_the_same_data_again_is_not_promoted(run: Run, default: dict[str, Any]) -> None:
    done = run("retrain", "churn", "--as-of", "2024-01-31")
    assert done["version"]["metrics"]["auc"] == default["version"]["metrics"]["auc"]
    first, second = (each["version"]["facts"] for each in (default, done))
    assert second["rows_digest"] == first["rows_digest"]
    assert second["fingerprint"] != first["fingerprint"], "known at another moment"
    assert done["promotion"]["promoted"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("retrain", "churn", "--as-of", "2020-01-31"), "TrainingSetError: There are no features as of 2020-01-31"),
        (("retrain", "chrun"), "ConfigurationError: There is no use case 'chrun'; there are: breast_cancer, churn"),
        (("retrain", "churn", "--estimator", "magic"), "ConfigurationError: churn has no estimator 'magic'"),
        (("promote", "churn", "999"), "ModelError: "),
        (("bundle", "churn", "--run-id", "nonsense"), "ModelError: MLflow knows no run 'nonsense'"),
        (("ingest", "breast_cancer", "."), "ConfigurationError: breast_cancer takes its features in the"),
        (("retrain", "breast_cancer", "--as-of", "2024-01-31"), "TrainingSetError: The rows of breast_cancer describe"),
        (("ingest", "no/such/folder"), "DataError: no/such/folder"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_1(
    environment: dict[str, str], ingested: dict[str, Any], words: tuple[str, ...], message: str
) -> None:
    done = call_flows(environment, *words, "--json")
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert message in json.loads(done.stdout)["error"]


def test_the_service_returns_the_registered_models_probability_for_every_user(
    settings: Settings, bento: str, default: dict[str, Any]
) -> None:
    from training.features.datasets.dataset import build_training_set
    from training.release.registry.versions import load_model, model_version

    version = model_version(settings, CHURN, default["version"]["version"])
    training_set = build_training_set(settings, CHURN, JANUARY, known_at=version.facts.known_at)
    assert training_set.fingerprint == version.facts.fingerprint
    assert training_set.rows_digest == version.facts.rows_digest
    expected = load_model(settings, version).predict_proba(training_set.features)[:, 1]

    with serving(settings.model_copy(update={"clock": JANUARY}), bento) as address:
        served = _ask_all(address, training_set.entities)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-6)


def test_serve_runs_the_same_bento_in_the_foreground_until_it_is_interrupted(
    environment: dict[str, str], bento: str
) -> None:
    port = free_port(24000, "the service")
    command = [sys.executable, "-m", "flows", "serve", "churn", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert _served(f"http://127.0.0.1:{port}/model")["bento"] == bento
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def _served(address: str) -> dict[str, Any]:
    deadline = monotonic() + 360
    while True:
        try:
            answer: dict[str, Any] = httpx.get(address).raise_for_status().json()
        except httpx.HTTPError:
            if monotonic() > deadline:
                raise
            sleep(0.3)
        else:
            return answer


def _ask_all(address: str, users: "pd.Series[str]") -> list[float]:
    """All in one request; the first hundred also one by one, with the same result."""
    instances = [{"user_id": user} for user in users]
    with httpx.Client(base_url=address, timeout=30) as client:
        answer = client.post("/predict/batch", json={"instances": instances}).raise_for_status()
        singles = [client.post("/predict", json=each).raise_for_status().json() for each in instances[:100]]
    probabilities = [each["probability"] for each in answer.json()["predictions"]]
    assert [each["probability"] for each in singles] == pytest.approx(probabilities[:100], abs=1e-9)
    return probabilities


@pytest.fixture(scope="module")
def retrained(run: Run, default: dict[str, Any], streamflow: Path) -> dict[str, Any]:
    """Asked for by the last tests only: it moves the online store on."""
    run("ingest", str(streamflow), "--as-of", "2024-01-31")
    return run("retrain", "churn")


def test_a_model_retrained_in_february_replaces_januarys(
    run: Run, retrained: dict[str, Any], default: dict[str, Any]
) -> None:
    """January's model is at a loss on February's users, and no champion ever scores 0.9."""
    assert retrained["version"]["facts"]["as_of"][:10] == "2024-02-29"
    outcome = retrained["promotion"]
    assert (outcome["promoted"], outcome["previous"]) == (True, default["version"]["version"])
    assert {each["name"]: each["passed"] for each in outcome["criteria"]} == dict.fromkeys(CRITERIA, True)
    compared = outcome["criteria"][1]["figures"]
    assert compared["champion"] == pytest.approx(0.49, abs=0.03)
    assert compared["challenger"] > 0.6
    criteria = [each for entry in run("history", "churn")["entries"] for each in entry["evidence"].get("criteria", [])]
    champions = [each["figures"]["champion"] for each in criteria if each["name"].startswith("AUC above the version")]
    assert len(champions) == 1
    assert max(champions) < 0.9


def test_a_rollback_restores_the_previous_version_and_a_promotion_undoes_it(
    run: Run,
    environment: dict[str, str],
    retrained: dict[str, Any],
    default: dict[str, Any],
) -> None:
    number = retrained["version"]["version"]
    assert run("rollback", "churn", "--reason", "a test")["version"] == default["version"]["version"]
    judged = run("promote", "churn", number, "--dry-run")
    assert (judged["promoted"], judged["dry_run"], judged["previous"]) == (False, True, default["version"]["version"])
    assert {each["name"]: each["passed"] for each in judged["criteria"]} == dict.fromkeys(CRITERIA, True)
    assert run("promote", "churn", number)["promoted"] is True
    refused = call_flows(environment, "promote", "churn", default["version"]["version"], "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout.splitlines()[-1])["promoted"] is False
    assert [each["event"] for each in run("history", "churn")["entries"]] == [
        "promoted",
        "promoted",
        "rolled back",
        "promoted",
    ]
