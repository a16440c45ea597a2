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
from training.models.evaluation.evaluate import Evaluation, evaluate, figures_of
from training.models.fitting.fit import FittedModel, divide, fit_model
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import load_model, verified_folder
from training.tracking.client import open_tracking


@pytest.fixture(scope="module")
def default(settings: Settings, streamflow: Path) -> Evaluation:
    return evaluate(settings, train(settings, CHURN, streamflow_set(streamflow, "churn_v2")))


@pytest.fixture(scope="module")
def baseline(streamflow: Path) -> FittedModel:
    sides = divide(CHURN, streamflow_set(streamflow, "churn_v1"), estimator="seed-baseline")
    return fit_model(sides, random_state=42)


def test_the_default_estimator_reaches_what_it_promises(default: Evaluation) -> None:
    assert default.metrics["auc"] >= 0.84
    assert default.metrics["auc_low"] > 0.81
    assert default.metrics["f1_at_threshold"] > 0.6
    assert default.metrics["rows_train"] + default.metrics["rows_held_out"] == 7043


def test_the_default_estimator_is_calibrated(default: Evaluation) -> None:
    assert default.metrics["calibration_error"] < 0.04
    assert default.metrics["brier"] < 0.14


def test_the_baseline_has_the_auc_of_the_right_month_and_the_default_beats_it(
    baseline: FittedModel, default: Evaluation
) -> None:
    auc = figures_of(baseline).metrics["auc"]
    assert auc == pytest.approx(0.81, abs=0.01)
    assert auc < default.metrics["auc"] - 0.01


def test_the_baseline_compiles_and_agrees_with_scikit_learn_on_all_7043_users(
    baseline: FittedModel, streamflow: Path
) -> None:
    """Ten users' probabilities equal its threshold: they would show a difference of one bit."""
    rows = streamflow_set(streamflow, "churn_v1").complete().features
    agreement = compile_model(baseline.model, rows, threshold=baseline.facts.threshold).agreement
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
