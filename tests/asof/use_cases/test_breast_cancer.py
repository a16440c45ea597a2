"""The second use case through the stages of the first: rows of its own, a fixed split, a search, an ablation."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asof.errors import ConfigurationError, ModelError, TrainingSetError
from asof.settings import Settings
from asof.use_case import FromRequest
from asof.use_cases.breast_cancer.data import EXAMPLE, EXAMPLE_CLASS, NAMES
from tests.kits.models.cancer import CANCER, Made, make
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.contest import hold_contest
from training.tracking.client import open_tracking

DERIVED = "mean radius x mean texture"


@pytest.fixture(scope="module")
def made(settings: Settings) -> Made:
    return make(settings)


@pytest.fixture(scope="module")
def run(settings: Settings, made: Made) -> Any:
    return open_tracking(settings).get_run(made.version.run_id).data


@pytest.fixture(scope="module")
def artefact(settings: Settings, made: Made) -> Callable[[str], str]:
    client = open_tracking(settings)
    return lambda path: Path(client.download_artifacts(made.version.run_id, path)).read_text()


def halves(*, derived: bool) -> list[Any]:
    """The data set by scikit-learn alone: measurements and labels of the training side and of the held-out side."""
    measurements, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    if derived:
        measurements[DERIVED] = measurements["mean radius"] * measurements["mean texture"]
    return list(train_test_split(measurements, labels, test_size=0.3, stratify=labels, random_state=42))


def test_names_example_and_rows_are_the_data_sets_own() -> None:
    measurements, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    assert list(NAMES) == list(measurements.columns)
    assert list(EXAMPLE) == measurements.iloc[0].tolist()
    assert CANCER.target.classes[labels[0]] == EXAMPLE_CLASS
    assert isinstance(CANCER.source, FromRequest)
    rows = CANCER.source.rows()
    assert rows[list(NAMES)].equals(measurements)
    assert rows[CANCER.source.label].tolist() == (labels == 1).tolist()


def test_the_held_out_side_is_the_fixed_stratified_split(made: Made) -> None:
    _, measurements, _, labels = halves(derived=True)
    held_out = made.trained.held_out
    expected = measurements.assign(label=labels).sort_index()
    assert np.array_equal(held_out.features.to_numpy(), expected.drop(columns="label").to_numpy())
    assert np.array_equal(held_out.labels, expected["label"])


def test_the_held_out_figures_are_good_enough_and_those_that_scikit_learn_gives(made: Made) -> None:
    train_side, held_out, train_labels, labels = halves(derived=True)
    best = LogisticRegression(C=made.trained.model.named_steps["model"].C, max_iter=2000)
    fitted = make_pipeline(StandardScaler(), best).fit(train_side, train_labels)
    probabilities = fitted.predict_proba(held_out)[:, 1]
    metrics = made.evaluation.metrics
    assert metrics["accuracy_at_threshold"] == accuracy_score(labels, probabilities >= 0.5) >= 0.97
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
    assert metrics["auc"] >= 0.99


def test_another_run_gives_the_same_to_the_last_digit(settings: Settings, made: Made) -> None:
    again = evaluate(settings, train(settings, CANCER, build_training_set(settings, CANCER, made.training_set.as_of)))
    assert again.facts.rows_digest == made.evaluation.facts.rows_digest
    assert again.facts.model_digest == made.evaluation.facts.model_digest
    assert {**again.metrics, "training_seconds": 0} == {**made.evaluation.metrics, "training_seconds": 0}
    assert np.array_equal(again.predictions, made.evaluation.predictions)


def test_mlflow_has_every_point_of_the_grid_and_the_choice(
    settings: Settings, made: Made, run: Any, artefact: Callable[[str], str]
) -> None:
    client = open_tracking(settings)
    means, deviations = (client.get_metric_history(made.version.run_id, name) for name in ("cv_mean", "cv_std"))
    lines = artefact("candidates.csv").splitlines()[1:]
    assert [point.step for point in means] == [point.step for point in deviations] == [0, 1, 2]
    for point, deviation, line, penalty in zip(means, deviations, lines, ("0.1", "1", "10"), strict=True):
        assert f"{{'model__C': {penalty}}}" in line
        assert str(point.value) in line
        assert str(deviation.value) in line
        assert deviation.value > 0
    assert run.metrics["best_cv_score"] == max(point.value for point in means)
    assert (run.params["best.model__C"], run.params["search.folds"]) == ("1", "5")
    assert run.params["search.scoring"] == "neg_log_loss"
    assert run.params["model.model__C"] == run.params["best.model__C"]


def test_mlflow_has_the_confusion_matrix_and_the_recall_of_each_class(
    made: Made, run: Any, artefact: Callable[[str], str]
) -> None:
    labels, answers = made.evaluation.labels, made.evaluation.predictions >= 0.5
    matrix = confusion_matrix(labels, answers)
    document = json.loads(artefact("confusion_matrix.json"))
    assert document == {"classes": ["malignant", "benign"], "counts_by_true_class_and_answer": matrix.tolist()}
    assert run.metrics["recall_malignant"] == matrix[0, 0] / matrix[0].sum()
    assert run.metrics["recall_benign"] == matrix[1, 1] / matrix[1].sum()
    assert run.metrics.items() >= made.evaluation.metrics.items()


def test_the_ablation_measures_the_derived_column(made: Made, run: Any, artefact: Callable[[str], str]) -> None:
    train_side, held_out, train_labels, labels = halves(derived=False)
    without = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=2000)).fit(train_side, train_labels)
    probabilities = without.predict_proba(held_out)[:, 1]
    slug = DERIVED.replace(" ", "_")
    metrics = made.evaluation.metrics
    gains = {
        "auc": metrics["auc"] - roc_auc_score(labels, probabilities),
        "log_loss": log_loss(labels, probabilities) - metrics["log_loss"],
    }
    for figure, gain in gains.items():
        assert run.metrics[f"gain_{figure}.{slug}"] == pytest.approx(gain, abs=1e-9)
        assert run.metrics[f"gain_{figure}_low.{slug}"] <= 0 <= run.metrics[f"gain_{figure}_high.{slug}"]
    card = artefact("model_card.html")
    assert f"{gains['auc']:+.4f}" in card
    assert "Nothing that these held-out rows can show." in card


def test_the_artefact_holds_library_types_only(settings: Settings, made: Made, tmp_path: Path) -> None:
    open_tracking(settings)
    uri = f"models:/breast_cancer/{made.version.version}/model.skops"
    path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path)))
    assert skops.io.get_untrusted_types(file=path) == []
    schema = zipfile.ZipFile(path).read("schema.json").decode()
    modules = {module.partition(".")[0] for module in re.findall(r'"__module__": "([^"]+)"', schema)}
    assert {"sklearn", "numpy"} <= modules <= {"builtins", "collections", "numpy", "scipy", "sklearn"}


def test_the_facts_hold_what_serving_needs(made: Made) -> None:
    facts = made.version.facts
    assert facts.derived == (DERIVED,)
    assert facts.threshold == 0.5
    assert (facts.split.share, facts.split.seed) == (0.3, 42)
    train_side, *_ = halves(derived=False)
    assert facts.ranges == {name: (train_side[name].min(), train_side[name].max()) for name in NAMES}
    assert facts.as_of == datetime(1995, 11, 1, tzinfo=UTC)


def test_it_goes_into_production_by_the_same_gate_and_the_same_model_again_does_not(
    settings: Settings, made: Made
) -> None:
    assert made.promotion.promoted
    assert {criterion.passed for criterion in made.promotion.criteria} == {True}
    again = make(settings).promotion
    assert (again.promoted, again.previous) == (False, made.version.version)


def test_a_champion_without_the_derived_column_is_scored_without_it(settings: Settings, made: Made) -> None:
    plain = replace(CANCER, model_name="plain", derived={})
    old = train(settings, plain, replace(made.training_set, derived={}))
    evaluate(settings, old)
    client = open_tracking(settings)
    client.create_registered_model("plain")
    client.create_model_version("plain", old.model_uri, run_id=old.run_id, model_id=old.model_uri.split("/")[-1])
    champion = replace(made.version, name="plain", version="1", run_id=old.run_id, facts=old.facts)
    contest = hold_contest(settings, made.version, champion, training_set_for=lambda _: made.training_set)
    assert contest.champion is not None
    assert np.array_equal(contest.champion, old.model.predict_proba(old.held_out.features)[:, 1])


def test_a_champion_whose_rows_were_drawn_from_another_data_set_cannot_be_compared(
    settings: Settings, made: Made
) -> None:
    champion = replace(made.version, facts=replace(made.version.facts, rows_digest="0" * 64))
    with pytest.raises(ModelError, match="it is unknown which of these it was trained on"):
        hold_contest(settings, made.version, champion, training_set_for=lambda _: made.training_set)


def test_its_rows_are_of_one_moment(settings: Settings) -> None:
    assert newest_labelled(settings, CANCER) == datetime(1995, 11, 1, tzinfo=UTC)
    with pytest.raises(TrainingSetError, match=r"describe 1995-11-01.*leave --as-of out"):
        build_training_set(settings, CANCER, datetime(2024, 1, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean area": None}, "lack the columns mean area"),
        ({"sample": "same"}, "missing or duplicate values of sample"),
        ({"benign": True}, "must be both False and True"),
        ({"benign": "yes"}, "hold 'yes', and must be False or True"),
    ],
)
def test_rows_that_break_their_contract_are_refused(settings: Settings, change: dict[str, Any], message: str) -> None:
    assert isinstance(CANCER.source, FromRequest)
    whole = CANCER.source.rows()
    broken = whole.assign(**change).dropna(axis="columns")
    crafted = replace(CANCER, source=replace(CANCER.source, rows=lambda: broken))
    with pytest.raises(TrainingSetError, match=message):
        build_training_set(settings, crafted, CANCER.source.as_of)


def test_a_row_that_lacks_a_measurement_is_left_out(settings: Settings) -> None:
    assert isinstance(CANCER.source, FromRequest)
    gap = CANCER.source.rows()
    gap.loc[3, "mean area"] = np.nan
    crafted = replace(CANCER, source=replace(CANCER.source, rows=lambda: gap))
    built = build_training_set(settings, crafted, CANCER.source.as_of)
    assert len(built.frame) == 569
    assert len(built.complete().frame) == 568
    assert isinstance(built.features, pd.DataFrame)


def test_there_are_no_extracts_to_ingest() -> None:
    with pytest.raises(ConfigurationError, match="takes its features in the request: it has no extracts"):
        CANCER.extract  # noqa: B018 - the property raises
