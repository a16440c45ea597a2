"""Training and evaluation on made-up users, logged to a real MLflow."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asof.errors import ConfigurationError, TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.inference.runtime import MODEL_ONNX
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import Estimator
from tests.kits.models.training import made_up_set, small_use_case
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import TrainedModel, train
from training.release.registry.register import register
from training.release.registry.versions import verified_folder
from training.tracking.client import open_tracking

USE_CASE = small_use_case("made_up")


NOT_COMPILED = "it refuses new categories of plan: see OneHotEncoder's handle_unknown"


def with_gaps() -> TrainingSet:
    """Eight hundred users, of whom twelve lack their hours and one the plan."""
    whole = made_up_set()
    frame = whole.frame.copy()
    frame.loc[:11, "hours"] = np.nan
    frame.loc[20, "plan"] = None
    return replace(whole, frame=frame)


@pytest.fixture(scope="module")
def trained(settings: Settings) -> TrainedModel:
    return train(settings, USE_CASE, with_gaps())


@pytest.fixture(scope="module")
def evaluation(settings: Settings, trained: TrainedModel) -> Evaluation:
    return evaluate(settings, trained)


@pytest.fixture(scope="module")
def artefact(settings: Settings, trained: TrainedModel, evaluation: Evaluation) -> Callable[[str], Path]:
    """Where an artefact of the run lies, as MLflow gives it back."""
    client = open_tracking(settings)
    return lambda path: Path(client.download_artifacts(trained.run_id, path))


def test_held_out_users_take_no_part_in_the_fit(trained: TrainedModel) -> None:
    inside, outside = set(trained.train_side.entities), set(trained.held_out.entities)
    assert not inside & outside
    scaler = trained.model.named_steps["columns"].named_transformers_["numbers"]
    assert scaler.n_samples_seen_ == len(inside)
    assert scaler.mean_[0] == pytest.approx(trained.train_side.frame["hours"].mean())


def test_rows_that_lack_a_feature_are_left_out_and_counted(trained: TrainedModel, evaluation: Evaluation) -> None:
    assert trained.dropped == 13
    assert len(trained.train_side.frame) + len(trained.held_out.frame) == 787
    assert evaluation.metrics["rows_dropped"] == 13


def test_two_runs_give_the_same_metrics_to_the_last_digit_and_print_nothing(
    settings: Settings, evaluation: Evaluation, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    again = evaluate(settings, train(settings, USE_CASE, with_gaps()))
    assert capfd.readouterr() == ("", "")
    assert f"Scikit-learn will serve the model of run {again.run_id}" in caplog.text
    assert NOT_COMPILED in caplog.text
    assert again.run_id != evaluation.run_id
    assert {**again.metrics, "training_seconds": 0} == {**evaluation.metrics, "training_seconds": 0}
    assert again.facts.threshold == evaluation.facts.threshold


def test_the_evaluation_is_of_the_held_out_users(trained: TrainedModel, evaluation: Evaluation) -> None:
    assert np.array_equal(evaluation.labels, trained.held_out.labels)
    expected = trained.model.predict_proba(trained.held_out.features)[:, 1]
    assert np.array_equal(evaluation.predictions, expected)
    assert evaluation.metrics["auc_low"] < evaluation.metrics["auc"] < evaluation.metrics["auc_high"]
    assert evaluation.metrics["auc"] > 0.75


def test_the_threshold_is_chosen_without_the_held_out_users(settings: Settings, trained: TrainedModel) -> None:
    """Other labels on the held-out side: the same threshold."""
    frame = with_gaps().frame
    out = frame["user_id"].isin(trained.held_out.entities)
    flipped = replace(with_gaps(), frame=frame.assign(left=frame["left"] ^ out))
    assert train(settings, USE_CASE, flipped).facts.threshold == trained.facts.threshold


def test_the_run_records_its_origin(settings: Settings, trained: TrainedModel, evaluation: Evaluation) -> None:
    run = open_tracking(settings).get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == evaluation.metrics
    expected = {
        "as_of": "2024-01-31T00:00:00+00:00",
        "known_at": "2024-03-01T00:00:00+00:00",
        "random_state": "42",
        "estimator": "default",
        "held_out_share": "0.25",
        "model.model__C": "1.0",
    }
    assert expected.items() <= run.data.params.items()
    assert (trained.facts.fingerprint, trained.facts.rows_digest) == (with_gaps().fingerprint, with_gaps().rows_digest)
    assert run.data.tags["fingerprint"] == trained.facts.fingerprint[:12]
    assert run.data.tags["rows_digest"] == trained.facts.rows_digest[:12]
    assert run.data.tags["feature_service"] == "small_v1"
    assert run.data.tags["git_commit"] == trained.facts.git_commit
    assert run.data.tags["git_dirty"] in ("true", "false")
    assert run.data.tags["version.scikit-learn"]


def test_the_experiment_describes_itself_and_the_run_names_its_data_set(
    settings: Settings, trained: TrainedModel
) -> None:
    run = open_tracking(settings).get_run(trained.run_id)
    tags = open_tracking(settings).get_experiment(run.info.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert USE_CASE.title in tags["mlflow.note.content"]
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == (
        f"{USE_CASE.name} as of 2024-01-31",
        trained.facts.fingerprint[:12],
    )
    assert json.loads(used.dataset.profile) == {"num_rows": 800}
    assert json.loads(used.dataset.source) == {"uri": f"runs:/{trained.run_id}/training_set.parquet"}


def test_the_facts_come_back_from_the_models_own_folder(settings: Settings, trained: TrainedModel) -> None:
    open_tracking(settings)
    import mlflow

    metadata = mlflow.models.Model.load(trained.model_uri).metadata
    assert ModelFacts.from_dict(metadata["asof"]) == trained.facts


def test_mlflows_own_reader_gives_probabilities(settings: Settings, trained: TrainedModel) -> None:
    open_tracking(settings)
    import mlflow

    features = trained.held_out.features
    loaded = mlflow.pyfunc.load_model(trained.model_uri)
    assert np.array_equal(loaded.predict(features), trained.model.predict_proba(features))
    assert {str(kind) for kind in loaded.metadata.signature.inputs.input_types()} == {
        "DataType.double",
        "DataType.string",
    }


def test_the_artefacts_are_there(artefact: Callable[[str], Path], trained: TrainedModel) -> None:
    schema = json.loads(artefact("feature_schema.json").read_text())
    assert FeatureContract.from_dict(schema) == trained.facts.contract
    assert artefact("training_set.sql").read_text() == "SELECT 1"
    for name in ("roc", "precision_recall", "calibration", "confusion_matrix", "importance"):
        assert artefact(f"plots/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_card_needs_nothing_but_itself(artefact: Callable[[str], Path], evaluation: Evaluation) -> None:
    page = artefact("model_card.html").read_text()
    pictures = re.findall(r'<img[^>]+src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(each)[:4] for each in pictures] == [b"\x89PNG"] * 5
    assert not re.search(r"https?://|<script|<link", page)
    for name in ("auc", "log_loss", "f1_at_threshold"):
        assert f"{evaluation.metrics[name]:.4f}" in page
    assert f"{evaluation.metrics['auc_low']:.4f} to {evaluation.metrics['auc_high']:.4f}" in page
    assert evaluation.facts.fingerprint in page
    assert f"<code>{evaluation.facts.rows_digest}</code>" in page
    assert "13 rows that lack a feature" in page
    assert "<td>hours</td><td></td>" in page  # this feature has no description


def test_registration_names_the_version_in_the_model_card_and_describes_it(
    settings: Settings, evaluation: Evaluation, artefact: Callable[[str], Path]
) -> None:
    assert "not registered" in artefact("model_card.html").read_text()
    for _ in range(2):  # the second time it is registered already
        version = register(settings, evaluation)
        page = artefact("model_card.html").read_text()
        assert f"<b>version {version.version}</b>" in page
        assert "not registered" not in page
    described = open_tracking(settings).get_model_version(version.name, version.version).description
    assert f"AUC {evaluation.metrics['auc']:.3f}" in described


def test_a_model_that_does_not_compile_is_sealed_without_a_graph_and_its_run_says_why(
    settings: Settings, trained: TrainedModel, evaluation: Evaluation
) -> None:
    """The encoder of this one refuses plans that it was not trained on."""
    tags = open_tracking(settings).get_run(trained.run_id).data.tags
    assert tags["runtime"] == "scikit-learn"
    assert tags["not_compiled"] == NOT_COMPILED
    assert "compiled" not in tags
    with verified_folder(settings, trained.model_uri) as verified:
        assert MODEL_ONNX not in verified.manifest.files


def test_a_fit_that_fails_leaves_a_failed_run(settings: Settings) -> None:
    def broken(_contract: FeatureContract, _random_state: int) -> Any:
        raise ValueError("cannot be built")

    use_case = small_use_case("broken", default=Estimator("small_v1", broken, "broken"))
    with pytest.raises(ValueError, match="cannot be built"):
        train(settings, use_case, made_up_set())
    client = open_tracking(settings)
    experiment = client.get_experiment_by_name("broken")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_an_unknown_estimator_is_refused_with_those_there_are(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"no estimator 'best'; it has: constant, default, less"):
        train(settings, USE_CASE, made_up_set(), estimator="best")


def test_a_set_of_other_features_is_refused(settings: Settings) -> None:
    with pytest.raises(TrainingSetError, match="of small_v1, the estimator takes small_v0"):
        train(settings, USE_CASE, made_up_set(), estimator="less")


def test_a_user_twice_is_refused(settings: Settings) -> None:
    whole = made_up_set()
    frame = whole.frame.assign(user_id=whole.frame["user_id"].replace("user-00001", "user-00000"))
    with pytest.raises(TrainingSetError, match="an entity twice"):
        train(settings, USE_CASE, replace(whole, frame=frame))


def test_a_side_without_both_labels_is_refused(settings: Settings) -> None:
    whole = made_up_set()
    out = whole.frame["user_id"].isin(whole.split(USE_CASE.split)[1].entities)
    with pytest.raises(TrainingSetError, match=r"held-out side has \d+ complete rows and not both labels"):
        train(settings, USE_CASE, replace(whole, frame=whole.frame.assign(left=whole.frame["left"] & ~out)))
