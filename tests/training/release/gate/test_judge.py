"""Every criterion of the gate on real parts: which rows it compares on, and what keeps a version out."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import onnx
import pandas as pd
import psycopg
import pytest

from asof.features.feature_store import feature_store
from asof.inference.runtime import MODEL_ONNX
from asof.settings import Settings
from asof.trust.signed_manifest import MANIFEST, sign_folder
from asof.trust.signing_keys import signing_key
from asof.use_case import Estimator, GateBounds, UseCase
from tests.kits.models.cancer import CANCER, Made, make
from tests.kits.models.training import CHURN, regression
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion
from training.targets.rules import Criterion

if TYPE_CHECKING:
    from tests.kits.data.history import History

USE_CASE = replace(
    CHURN, model_name="judged", estimators={"default": Estimator("churn_v2", regression, "a logistic regression")}
)
COMPARED, FITS = "compared on users whom neither was trained on", "feature contract compatible"
COMPILED = "compiled model agrees with scikit-learn"
CHECKED, SERVED = "data checks without unacknowledged errors", "served bytes agree with the evaluated model"
AGREES, FAST = "online store agrees with the offline store", "latency within the budget"


def judged(
    settings: Settings,
    use_case: UseCase,
    version: ModelVersion,
    champion: ModelVersion | None = None,
    known_at: datetime | None = None,
) -> dict[str, Criterion]:
    found = judge_of(settings, use_case, version, known_at=known_at)(champion)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def newest_of(history: "History") -> datetime:
    day = history.plan.as_of(3)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def failed(criteria: dict[str, Criterion]) -> set[str]:
    return {name for name, each in criteria.items() if not each.passed}


@pytest.fixture(scope="module")
def older(history: "History") -> ModelVersion:
    """Trained as of the oldest month, when a later one has labels already; the online store is up to date."""
    settings = history.settings
    materialise(settings, as_of=newest_of(history))
    training_set = build_training_set(settings, USE_CASE, history.deliveries[0].as_of)
    return register(settings, evaluate(settings, train(settings, USE_CASE, training_set)))


def test_both_are_compared_at_the_newest_labelled_moment_on_held_out_users(
    history: "History", older: ModelVersion
) -> None:
    settings = history.settings
    newest = newest_labelled(settings, USE_CASE)
    assert newest > older.facts.as_of
    rows = build_training_set(settings, USE_CASE, newest)
    _, held_out = rows.complete().split(older.facts.split)
    found = judged(settings, USE_CASE, older)[COMPARED]
    assert found.figures == {"rows": len(held_out.frame), "positives": held_out.labels.sum()}
    assert str(newest.date()) in found.reason


def test_a_replay_is_judged_by_what_was_known_then(history: "History", older: ModelVersion) -> None:
    labels = sorted(each.known_at for each in history.deliveries if each.folder.name.startswith("labels"))
    settings, known_at = history.settings, labels[0]
    then = newest_labelled(settings, USE_CASE, known_at)
    assert then == older.facts.as_of < newest_labelled(settings, USE_CASE)
    rows = build_training_set(settings, USE_CASE, then, known_at=known_at)
    _, held_out = rows.complete().split(older.facts.split)
    found = judged(settings, USE_CASE, older, known_at=known_at)[COMPARED]
    assert found.figures["positives"] == held_out.labels.sum()
    assert str(then.date()) in found.reason


def test_features_that_the_store_no_longer_gives_keep_a_version_out(history: "History", older: ModelVersion) -> None:
    contract = older.facts.contract
    fewer = replace(contract, features=contract.features[:-1])
    stranger = replace(older, facts=replace(older.facts, contract=fewer))
    found = judged(history.settings, USE_CASE, stranger)
    assert contract.features[-1].name in found[FITS].reason
    assert {FITS, COMPARED} <= failed(found)
    unknown = replace(older, facts=replace(older.facts, contract=replace(contract, feature_service="churn_v9")))
    assert "knows no feature service 'churn_v9'" in judged(history.settings, USE_CASE, unknown)[FITS].reason


def trained_on_others(version: ModelVersion) -> ModelVersion:
    """The version as if it had been trained when users_fv read another table."""
    contract = version.facts.contract
    users = contract.definitions["users_fv"].replace("table users", "table others")
    changed = replace(contract, definitions={**contract.definitions, "users_fv": users})
    return replace(version, facts=replace(version.facts, contract=changed))


def test_a_version_whose_features_meant_something_else_is_kept_out_and_compared_with_nothing(
    history: "History", older: ModelVersion
) -> None:
    """Neither as the challenger nor as the version in Production, where the service refuses to answer with it."""
    before = trained_on_others(older)
    found = judged(history.settings, USE_CASE, before)
    assert "users_fv is defined otherwise (- table others | + table users)" in found[FITS].reason
    assert {FITS, COMPARED} <= failed(found)
    unrecorded = replace(older, facts=replace(older.facts, contract=replace(older.facts.contract, definitions={})))
    assert "does not record the definition of " in judged(history.settings, USE_CASE, unrecorded)[FITS].reason
    for champion in (before, unrecorded):
        against = judged(history.settings, USE_CASE, older, champion=champion)
        assert f"not compared with version {older.version}, which cannot answer any more" in against[COMPARED].reason
        assert "AUC above chance" in against


def test_an_error_in_the_data_keeps_a_version_out_until_it_is_acknowledged(
    history: "History", older: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.inspection import Finding, Severity, examination

    bad = Finding("leak:usage.watch_hours", Severity.ERROR, "it tells the label", "leave it out", {})
    monkeypatch.setattr(examination, "MONTH_CHECKS", (*examination.MONTH_CHECKS, lambda month: [bad]))
    found = judged(history.settings, USE_CASE, older)
    assert failed(found) >= {CHECKED}
    assert "leak:usage.watch_hours" in found[CHECKED].reason
    known = replace(USE_CASE, acknowledged=(*USE_CASE.acknowledged, bad.name))
    assert judged(history.settings, known, older)[CHECKED].passed


def test_an_online_store_that_differs_keeps_a_version_out(history: "History", older: ModelVersion) -> None:
    settings, moment = history.settings, newest_of(history)
    assert judged(settings, USE_CASE, older)[AGREES].passed
    user = pd.read_csv(history.folder / "month_003" / "users.csv")["user_id"][0]
    row = {"user_id": user, "failed_payments_90d": 77, "as_of": moment, "created_at": moment + timedelta(days=900)}
    with feature_store(settings) as store:
        store.write_to_online_store("payments_agg_90d_fv", pd.DataFrame([row]))
    assert not judged(settings, USE_CASE, older)[AGREES].passed


def test_a_newest_month_with_labels_of_one_class_keeps_a_version_out(history: "History", older: ModelVersion) -> None:
    """Corrected, they are all False; the last test here that takes this history."""
    settings = history.settings
    newest = newest_labelled(settings, USE_CASE)
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(
            "INSERT INTO labels (user_id, as_of, created_at, churn_label)"
            " SELECT DISTINCT user_id, as_of, now(), false FROM labels WHERE as_of = %s",
            (newest,),
        )
    found = judged(settings, USE_CASE, older)
    assert COMPARED in failed(found)
    assert f"Every label is False as of {newest.date()}" in found[COMPARED].reason
    assert found[SERVED].passed


@pytest.fixture(scope="module")
def made(settings: Settings) -> Made:
    return make(settings)


@pytest.fixture
def files(made: Made, tmp_path: Path) -> Iterator[Path]:
    """Where MLflow keeps the files of the version, put back after the test."""
    model_id = made.trained.model_uri.removeprefix("models:/")
    folder = Path(mlflow.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    shutil.copytree(folder, tmp_path / "kept")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)


def test_a_good_version_passes_every_criterion(settings: Settings, made: Made) -> None:
    found = judged(settings, CANCER, made.version)
    assert failed(found) == set()
    assert {COMPARED, FITS, SERVED, COMPILED, FAST} <= set(found)
    assert found[SERVED].figures["largest_difference"] < 1e-9
    assert found[COMPILED].figures == {"rows": 569, "largest_difference": pytest.approx(0, abs=1e-12), "flipped": 0}
    assert not {AGREES, CHECKED} & set(found), "no store and no months: the features come in the request"


def test_bytes_that_were_altered_are_a_failed_criterion_and_no_error(
    settings: Settings, made: Made, files: Path
) -> None:
    (files / "model.skops").write_bytes((files / "model.skops").read_bytes() + b"x")
    outcome = promote(settings, made.version, judge=judge_of(settings, CANCER, made.version), dry_run=True)
    assert outcome.promoted is True, "it is in Production already, and is not judged again"
    found = judged(settings, CANCER, made.version)
    assert failed(found) == {COMPARED, SERVED, COMPILED, FAST}
    assert "model.skops changed" in found[SERVED].reason


def signed_again(settings: Settings, made: Made, files: Path) -> None:
    """Signed again with our key, as an insider could."""
    (files / MANIFEST).write_bytes(sign_folder(files, made.version.run_id, signing_key(settings)))


def test_a_graph_that_differs_where_no_golden_row_shows_it_keeps_a_version_out(
    settings: Settings, made: Made, files: Path
) -> None:
    """It gives more to rows of the training side that are above all held-out ones, which the golden rows are."""
    graph, helper = onnx.load(files / MODEL_ONNX), onnx.helper
    highest, held_out = (side.features.max() for side in (made.trained.train_side, made.trained.held_out))
    name = next(name for name in highest.index if highest[name] > held_out[name])
    graph.graph.node[-1].output[0] = "before"
    for constant, value in (("limit", held_out[name]), ("more", 0.001), ("none", 0.0)):
        graph.graph.initializer.append(helper.make_tensor(constant, onnx.TensorProto.DOUBLE, [1], [value]))
    graph.graph.node.extend(
        [
            helper.make_node("Greater", [name, "limit"], ["large"]),
            helper.make_node("Where", ["large", "more", "none"], ["added"]),
            helper.make_node("Add", ["before", "added"], ["probabilities"]),
        ]
    )
    onnx.save(graph, files / MODEL_ONNX)
    signed_again(settings, made, files)
    found = judged(settings, CANCER, made.version)
    assert failed(found) == {COMPILED}
    assert found[COMPILED].figures["largest_difference"] == pytest.approx(0.001)


def test_a_version_that_is_not_compiled_passes_as_what_scikit_learn_serves(
    settings: Settings, made: Made, files: Path
) -> None:
    (files / MODEL_ONNX).unlink()
    signed_again(settings, made, files)
    found = judged(settings, CANCER, made.version)
    assert failed(found) == set()
    assert "scikit-learn serves it" in found[COMPILED].reason


def test_a_prediction_that_takes_longer_than_the_budget_keeps_a_version_out(settings: Settings, made: Made) -> None:
    slow = replace(CANCER, gate=GateBounds(latency_seconds=1e-9))
    found = judged(settings, slow, made.version)
    assert failed(found) == {FAST}
    assert found[FAST].figures["median"] > 1e-9


def test_the_bounds_are_those_of_the_use_case(settings: Settings, made: Made) -> None:
    strict = replace(CANCER, gate=GateBounds(auc_margin=0.5))
    loose = replace(CANCER, gate=GateBounds(auc_margin=-0.5))
    name = "AUC above the version in Production"
    assert not judged(settings, strict, made.version, champion=made.version)[name].passed
    assert judged(settings, loose, made.version, champion=made.version)[name].passed
