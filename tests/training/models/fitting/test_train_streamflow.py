"""The real January: the known baseline, the default estimator, and what another month's labels would make of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asof.inference.runtime import MODEL_ONNX
from asof.inference.served_model import load_verified
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from tests.kits.models.training import CHURN, streamflow_contract, streamflow_set
from training.models.compilation.compile import compile_model
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import load_model, verified_folder
from training.tracking.client import open_tracking


@pytest.fixture(scope="module")
def default(settings: Settings, streamflow: Path) -> Evaluation:
    return evaluate(settings, train(settings, CHURN, streamflow_set(streamflow, "churn_v2")))


@pytest.fixture(scope="module")
def baseline(settings: Settings, streamflow: Path) -> Evaluation:
    training_set = streamflow_set(streamflow, "churn_v1")
    return evaluate(settings, train(settings, CHURN, training_set, estimator="seed-baseline"))


def test_the_default_estimator_reaches_what_it_promises(default: Evaluation) -> None:
    assert default.metrics["auc"] >= 0.84
    assert default.metrics["auc_low"] > 0.81
    assert default.metrics["f1_at_threshold"] > 0.6
    assert default.metrics["rows_train"] + default.metrics["rows_held_out"] == 7043


def test_the_default_estimator_is_calibrated(default: Evaluation) -> None:
    assert default.metrics["calibration_error"] < 0.04
    assert default.metrics["brier"] < 0.14


def test_the_baseline_has_the_auc_of_the_right_month_and_the_default_beats_it(
    baseline: Evaluation, default: Evaluation
) -> None:
    assert baseline.metrics["auc"] == pytest.approx(0.81, abs=0.01)
    assert baseline.metrics["auc"] < default.metrics["auc"] - 0.01


def test_both_compile_and_say_what_scikit_learn_says_of_all_7043_users(
    settings: Settings, baseline: Evaluation, default: Evaluation, streamflow: Path
) -> None:
    """Of the forest, ten users' probabilities are just its threshold: they show a difference of one bit."""
    client = open_tracking(settings)
    told = [client.get_run(each.run_id).data.tags["compiled"] for each in (baseline, default)]
    assert told[0] == "7043 rows, the largest difference 0.0e+00, 0 labels flipped"
    assert re.fullmatch(r"7043 rows, the largest difference \d\.\de-1[3-9], 0 labels flipped", told[1])
    for each in (baseline, default):
        with verified_folder(settings, each.model_uri) as verified:
            content = verified.read(MODEL_ONNX)
            golden = GoldenRows.from_json(verified.read(GOLDEN_ROWS))
            served = load_verified(verified, CHURN)
        assert compiled_again(settings, each, streamflow) == content
        assert served.probabilities(golden.rows) == pytest.approx(golden.probabilities, abs=1e-12)
        assert served.runtime.name == "onnx"


def compiled_again(settings: Settings, evaluation: Evaluation, folder: Path) -> bytes:
    """model.onnx of the model as it is saved."""
    model = load_model(settings, register(settings, evaluation))
    rows = streamflow_set(folder, evaluation.facts.contract.feature_service)
    return compile_model(model, rows.complete().features, threshold=evaluation.facts.threshold).content


def test_the_labels_of_the_next_month_would_show(streamflow: Path) -> None:
    """The mistake that AsOf is named against: January's features beside February's labels."""
    wrong = streamflow_set(streamflow, "churn_v1", labels="month_001")
    train_side, held_out = wrong.split(CHURN.split)
    model = CHURN.estimators["seed-baseline"].build(streamflow_contract("churn_v1"), 42)
    scores = model.fit(train_side.features, train_side.labels).predict_proba(held_out.features)[:, 1]
    assert roc_auc_score(np.asarray(held_out.labels), scores) < 0.68
