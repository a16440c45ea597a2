"""`bundle --run-id`: exactly that run's model, registered or not; and a clear refusal of what is no such run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import mlflow
import pytest

from asof.errors import ModelError
from asof.inference.served_model import load_model
from asof.settings import Settings
from asof.trust.signing_keys import trusted_keys
from asof.use_cases import load
from tests.kits.models.cancer import CANCER, Made, make
from tests.kits.service import serving as kit
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import TrainedModel, train
from training.release.bundling.bundle import bundle
from training.tracking.client import open_tracking, tracked_run


@pytest.fixture(scope="module")
def made(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A version in Production."""
    kit.bentoml_home(tmp_path_factory)
    return make(settings)


@pytest.fixture(scope="module")
def unregistered(settings: Settings, made: Made) -> TrainedModel:
    """Another run, whose model is not registered."""
    trained = train(settings, CANCER, made.training_set, random_state=7)
    evaluate(settings, trained)
    return trained


def latest() -> str:
    return str(bentoml.bentos.get("breast_cancer:latest").tag)


def test_a_registered_runs_bento_is_that_of_its_version(settings: Settings, made: Made) -> None:
    by_registry = bundle(settings, CANCER)
    by_run = bundle(settings, CANCER, run_id=made.version.run_id)
    assert by_run == replace(by_registry, created=False)
    assert by_run.version == made.version.version


def test_an_unregistered_runs_bento_holds_exactly_its_model_and_does_not_become_latest(
    settings: Settings, unregistered: TrainedModel
) -> None:
    in_production = bundle(settings, CANCER)
    built = bundle(settings, CANCER, run_id=unregistered.run_id)
    assert (built.version, built.run_id, built.created) == (None, unregistered.run_id, True)
    assert latest() == in_production.bento_tag
    assert built.model_tag == f"breast_cancer:run-{unregistered.run_id[:8]}"
    stored = bentoml.models.get(built.model_tag)
    assert stored.info.metadata["run_id"] == unregistered.run_id
    assert "version" not in stored.info.metadata
    served = load_model(Path(stored.path), CANCER, trusted_keys(settings), run_id=built.run_id)
    assert served.facts == unregistered.facts
    rows = unregistered.held_out.frame[unregistered.facts.contract.names].to_dict("records")
    expected = unregistered.model.predict_proba(unregistered.held_out.features)[:, 1]
    assert served.predict(rows) == pytest.approx(expected.tolist(), abs=1e-12)
    assert bundle(settings, CANCER, run_id=unregistered.run_id) == replace(built, created=False)


def test_a_bento_without_a_version_reports_its_run(
    settings: Settings, unregistered: TrainedModel, tmp_path: Path
) -> None:
    built = bundle(settings, CANCER, run_id=unregistered.run_id)
    with kit.serving(settings, built.bento_tag, tmp_path) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, tmp_path / "log")
        model = client.get("/model").json()
        health = client.get("/health").json()
    assert (model["version"], model["run_id"], model["bento"]) == (None, unregistered.run_id, built.bento_tag)
    assert (health["version"], health["bento"]) == (None, built.bento_tag)


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "../../etc", "'; DROP TABLE runs; --"])
def test_an_unknown_run_is_named(settings: Settings, made: Made, run_id: str) -> None:
    with pytest.raises(ModelError, match="MLflow knows no run") as refusal:
        bundle(settings, CANCER, run_id=run_id)
    assert repr(run_id) in str(refusal.value)


def test_a_run_without_a_model_is_reported_with_its_state(settings: Settings, made: Made) -> None:
    with tracked_run(settings, "empty", "empty") as (_, finished):
        pass
    with pytest.raises(ZeroDivisionError), tracked_run(settings, "empty", "empty") as (_, failed):
        1 / 0  # noqa: B018
    for run_id, state in ((finished, "finished"), (failed, "failed")):
        with pytest.raises(ModelError, match=rf"Run {run_id} \({state}\) logged no model"):
            bundle(settings, CANCER, run_id=run_id)


def test_a_deleted_run_is_reported(settings: Settings, made: Made) -> None:
    gone = train(settings, CANCER, made.training_set, random_state=9)
    client = open_tracking(settings)
    client.delete_run(gone.run_id)
    with pytest.raises(ModelError, match=f"Run {gone.run_id} was deleted: restore it"):
        bundle(settings, CANCER, run_id=gone.run_id)


def test_a_model_of_another_use_case_is_refused(settings: Settings, made: Made) -> None:
    with pytest.raises(ModelError, match=r"is of 'breast_cancer', not of 'churn'"):
        bundle(settings, load("churn"), run_id=made.version.run_id)


def test_a_model_that_is_not_ours_is_refused(settings: Settings, made: Made) -> None:
    with tracked_run(settings, "elsewhere", "elsewhere") as (_, run_id):
        mlflow.sklearn.log_model(made.trained.model, name="model", pip_requirements=["scikit-learn"])
    with pytest.raises(ModelError, match=f"run {run_id} was not trained by AsOf"):
        bundle(settings, CANCER, run_id=run_id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"derived": {}}, "takes mean radius x mean texture, which breast_cancer no longer computes"),
        ({"source": None}, "takes other features than a request of breast_cancer now has"),
    ],
)
def test_a_model_that_takes_what_the_code_no_longer_gives_is_not_bundled(
    settings: Settings, made: Made, change: dict[str, Any], message: str
) -> None:
    if "source" in change:
        contract = CANCER.source.contract  # type: ignore[union-attr]
        fewer = replace(contract, features=contract.features[1:])
        change = {"source": replace(CANCER.source, contract=fewer)}
    with pytest.raises(ModelError, match=message):
        bundle(settings, replace(CANCER, **change))
