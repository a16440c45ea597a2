"""The real January: the known baseline, the default estimator, and what another month's labels would make of it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asof.inference.runtime import MODEL_ONNX
from asof.inference.served_model import load_verified
from asof.settings import Settings
from asof.targets import BinaryOutput
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from tests.kits.models.training import CHURN, streamflow_set
from training.features.datasets.training_set import TrainingSet
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import arrays_of, explainer_of
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import load_model, verified_folder
from training.tracking.client import open_tracking


@pytest.fixture(scope="module")
def default(settings: Settings, streamflow: Path) -> Evaluation:
    return evaluate(settings, train(settings, CHURN, streamflow_set(streamflow, "churn_v2")))


@pytest.fixture(scope="module")
def baseline(streamflow: Path) -> Any:
    return fitted_baseline(streamflow_set(streamflow, "churn_v1"))


def fitted_baseline(training_set: TrainingSet) -> Any:
    train_side, _ = training_set.split(CHURN.split)
    model = CHURN.estimators["seed-baseline"].build(training_set.contract, 42)
    return model.fit(train_side.features, train_side.labels)


def held_out_auc(model: Any, training_set: TrainingSet) -> float:
    _, held_out = training_set.split(CHURN.split)
    return float(roc_auc_score(held_out.labels, model.predict_proba(held_out.features)[:, 1]))


def test_the_default_estimator_reaches_what_it_promises(default: Evaluation) -> None:
    assert default.metrics["auc"] >= 0.84
    assert default.metrics["auc_low"] > 0.81
    assert default.metrics["f1_at_threshold"] > 0.6
    assert default.metrics["rows_train"] + default.metrics["rows_held_out"] == 7043


def test_the_default_estimator_is_calibrated(default: Evaluation) -> None:
    assert default.metrics["calibration_error"] < 0.04
    assert default.metrics["brier"] < 0.14


def test_the_baseline_has_the_auc_of_the_right_month_and_the_default_beats_it(
    baseline: Any, default: Evaluation, streamflow: Path
) -> None:
    auc = held_out_auc(baseline, streamflow_set(streamflow, "churn_v1"))
    assert auc == pytest.approx(0.81, abs=0.01)
    assert auc < default.metrics["auc"] - 0.01


def test_the_baseline_compiles_and_agrees_with_scikit_learn_on_all_7043_users(baseline: Any, streamflow: Path) -> None:
    """The threshold is the probability of some users: they would show a difference of one bit."""
    rows = streamflow_set(streamflow, "churn_v1").complete().features
    threshold = float(np.sort(baseline.predict_proba(rows)[:, 1])[5000])
    agreement = compile_model(baseline, rows, BinaryOutput(threshold)).agreement
    assert (agreement.rows, agreement.largest_difference, agreement.flipped) == (7043, 0, 0)


def test_the_default_estimator_compiles_and_agrees_with_scikit_learn_on_all_7043_users(
    settings: Settings, default: Evaluation, streamflow: Path
) -> None:
    tags = open_tracking(settings).get_run(default.run_id).data.tags
    assert re.fullmatch(r"7043 rows, the largest difference \d\.\de-1[3-9], 0 labels flipped", tags["compiled"])
    with verified_folder(settings, default.model_uri) as verified:
        content = verified.read(MODEL_ONNX)
        golden = GoldenRows.from_json(verified.read(GOLDEN_ROWS))
        served = load_verified(verified, CHURN)
    assert compiled_again(settings, default, streamflow) == content
    assert served.predict(golden.rows) == pytest.approx(golden.probabilities, abs=1e-12)
    assert served.runtime.name == "onnx"


def test_the_default_estimator_explains_itself_and_its_card_has_the_whole_picture(
    settings: Settings, default: Evaluation, streamflow: Path
) -> None:
    client = open_tracking(settings)
    assert client.get_run(default.run_id).data.tags["explained"] == "log odds"
    rows = streamflow_set(streamflow, "churn_v2").complete().features.iloc[::70]
    with verified_folder(settings, default.model_uri) as verified:
        served = load_verified(verified, CHURN)
    assert served.explainer is not None
    predictions = served.predict(rows.to_dict("records"))
    for each, prediction in zip(served.explainer.explain(arrays_of(rows)), predictions, strict=True):
        assert each.space.prediction(each.score) == pytest.approx(prediction, abs=1e-9)
    page = Path(client.download_artifacts(default.run_id, "model_card.html")).read_text()
    assert 'alt="contributions"' in page
    assert "500 held-out rows" in page


def test_the_baseline_of_300_trees_explains_itself(baseline: Any, streamflow: Path) -> None:
    rows = streamflow_set(streamflow, "churn_v1").complete().features
    compiled = compile_model(baseline, rows, BinaryOutput(0.5))
    explainer = explainer_of(baseline, rows, compiled.runtime)
    some = rows.iloc[:3]
    for each, expected in zip(explainer.explain(arrays_of(some)), baseline.predict_proba(some)[:, 1], strict=True):
        assert each.score == pytest.approx(expected, abs=1e-12)


def compiled_again(settings: Settings, evaluation: Evaluation, folder: Path) -> bytes:
    """model.onnx of the model as it is saved."""
    model = load_model(settings, register(settings, evaluation))
    rows = streamflow_set(folder, evaluation.facts.contract.feature_service)
    return compile_model(model, rows.complete().features, BinaryOutput(evaluation.facts.threshold)).content


def test_the_labels_of_the_next_month_would_show(streamflow: Path) -> None:
    """The mistake that AsOf is named against: January's features beside February's labels."""
    wrong = streamflow_set(streamflow, "churn_v1", labels="month_001")
    assert held_out_auc(fitted_baseline(wrong), wrong) < 0.68
