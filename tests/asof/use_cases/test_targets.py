"""Wine and diabetes: several classes and a number are trained, gated, served, rolled back and reproduced as two are."""

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.metrics as oracle
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from sklearn.model_selection import train_test_split

from asof.errors import ModelError, TrainingSetError
from asof.inference.served_model import ServedModel, load_model, load_verified
from asof.model_facts import Lineage, ModelFacts
from asof.serving.api.answers import model_answer
from asof.serving.api.routes import create_app
from asof.serving.following.candidates import CandidateLoader
from asof.serving.following.mlflow_registry import ProductionVersion
from asof.serving.following.model_cache import ModelCache
from asof.serving.following.model_loader import ModelLoader
from asof.serving.http.openapi import document
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Mark, Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.targets import RegressionOutput
from asof.trust.signing_keys import trusted_keys
from asof.use_case import FromRequest, UseCase
from asof.use_cases import load
from tests.kits.service.protocols import with_protocols
from training.audit.lineage.trace import trace_version
from training.audit.reproduction.reproduce import reproduce
from training.features.datasets.dataset import build_training_set
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.promotion.promote import Promotion, promote, rollback
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, require_production, verified_version
from training.targets.rules import Criterion
from training.tracking.artifacts import downloaded
from training.tracking.client import open_tracking

ARROW = "application/vnd.apache.arrow.stream"
FIGURES = {
    "wine": {
        "auc": lambda labels, predicted: oracle.roc_auc_score(labels, predicted, multi_class="ovr"),
        "log_loss": oracle.log_loss,
        "accuracy": lambda labels, predicted: oracle.accuracy_score(labels, predicted.argmax(axis=1)),
    },
    "diabetes": {
        "mae": oracle.mean_absolute_error,
        "rmse": oracle.root_mean_squared_error,
        "r2": oracle.r2_score,
    },
}


@dataclass(frozen=True)
class Made:
    """A use case whose default estimator is in Production, by the whole gate."""

    settings: Settings
    case: UseCase
    evaluation: Evaluation
    version: ModelVersion
    promotion: Promotion
    model: ServedModel


@pytest.fixture(scope="module", params=["wine", "diabetes"])
def made(settings: Settings, request: pytest.FixtureRequest) -> Made:
    case = load(request.param)
    evaluation, version = _trained(settings, case)
    promotion = promote(settings, version, judge=judge_of(settings, case, version))
    with verified_version(settings, version) as verified:
        return Made(settings, case, evaluation, version, promotion, load_verified(verified, case))


def _trained(settings: Settings, case: UseCase, estimator: str | None = None) -> tuple[Evaluation, ModelVersion]:
    training_set = build_training_set(settings, case, case.source.as_of)  # type: ignore[union-attr]
    evaluation = evaluate(settings, train(settings, case, training_set, estimator=estimator))
    return evaluation, register(settings, evaluation)


MARK = Mark("8c5f2a")


def ask(made: Made, *bodies: Any, path: str = "/predict", **headers: str) -> list[httpx.Response]:
    """The responses of the endpoints, without BentoML."""
    lineage = Lineage(made.case.model_name, made.version.version, made.version.run_id, "none:1")

    async def main() -> list[httpx.Response]:
        worker = Worker(made.settings, made.case, bento="none:1")
        predictor = Predictor(made.model, lineage, worker)
        await predictor.start()
        app = with_protocols(made.case, LiveModel(worker, predictor))
        sent = {"Content-Type": "application/json", **headers}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return [await client.post(path, content=json.dumps(body), headers=sent) for body in bodies]

    return asyncio.run(main())


def example(case: UseCase) -> dict[str, Any]:
    body: dict[str, Any] = case.request.model_json_schema()["examples"][0]
    return body


def close(value: Any) -> Any:
    """The value; numbers may differ in the last digits, as those of a batch do."""
    if isinstance(value, dict):
        return {name: close(each) for name, each in value.items()}
    return pytest.approx(value) if isinstance(value, float) else value


def rows_of(case: UseCase) -> pd.DataFrame:
    assert isinstance(case.source, FromRequest)
    return case.source.rows()


def with_labels(case: UseCase, labels: Any) -> UseCase:
    """The use case with other labels in its rows."""
    assert isinstance(case.source, FromRequest)
    rows = rows_of(case).assign(**{case.source.label: labels})
    return replace(case, source=replace(case.source, rows=lambda: rows))


def test_the_held_out_figures_are_scikit_learns_own_to_the_last_digit(made: Made) -> None:
    rows, (source, split) = rows_of(made.case), (made.case.source, made.case.split)
    assert isinstance(source, FromRequest)
    classes = getattr(made.case.target, "classes", None)
    labels = rows[source.label].map(classes.index) if classes else rows[source.label]
    drawn = {"test_size": split.share, "random_state": split.seed, "stratify": labels if classes else None}
    train, test = (np.sort(side) for side in train_test_split(np.arange(len(rows)), **drawn))
    features = rows[source.contract.names]
    train_x, test_x, train_y, test_y = features.iloc[train], features.iloc[test], labels.iloc[train], labels.iloc[test]
    model = made.case.estimator().build(source.contract, 42).fit(train_x, train_y)
    predicted = model.predict_proba(test_x) if classes else model.predict(test_x)
    for name, figure in FIGURES[made.case.name].items():
        assert made.evaluation.metrics[name] == figure(test_y.to_numpy(), predicted), name


def test_it_goes_into_production_by_the_whole_gate_and_the_same_again_does_not(made: Made) -> None:
    assert made.promotion.promoted, made.promotion.criteria
    names = {each.name for each in made.promotion.criteria}
    assert {"compiled model agrees with scikit-learn", "served bytes agree with the evaluated model"} <= names
    about_probabilities = {name for name in names if "calibration" in name or "log loss" in name or "AUC" in name}
    assert bool(about_probabilities) == (made.case.name == "wine")
    again = judge_of(made.settings, made.case, made.version)(made.version)
    assert [each.name for each in again if not each.passed] == [
        "macro AUC above the version in Production"
        if made.case.name == "wine"
        else "mean absolute error below the version in Production's"
    ]


def test_the_run_and_its_card_have_what_the_target_needs_and_nothing_of_another(made: Made) -> None:
    client = open_tracking(made.settings)
    plots = {each.path.removeprefix("plots/") for each in client.list_artifacts(made.version.run_id, "plots")}
    card = Path(client.download_artifacts(made.version.run_id, "model_card.html")).read_text(encoding="utf-8")
    own, other = ({"confusion_matrix.png", "calibration.png"}, {"residuals.png", "predicted_against_true.png"})
    if made.case.name == "diabetes":
        own, other = other, own
        assert "It contained 93.2 % of those of the held-out side" in card
        assert not re.search(r"robabilit|AUC|calibrat|log loss", re.sub(r"base64,[^\"]*", "", card))
    assert own < plots
    assert not other & plots
    assert "roc.png" not in plots
    assert ("threshold" in card) is False
    assert client.get_run(made.version.run_id).data.tags["runtime"] == "onnx"


def test_questions_of_the_demo_are_answered_as_the_contract_says(made: Made) -> None:
    questions = made.case.questions(None)
    answers = ask(made, *(json.loads(each.body) for each in questions))
    for question, answer in zip(questions, answers, strict=True):
        assert question.is_answered_by(answer.status_code, answer.json()), answer.text


def test_an_answer_has_the_members_of_its_target(made: Made) -> None:
    (response,) = ask(made, example(made.case))
    answer = response.json()
    if made.case.name == "wine":
        assert list(answer["probabilities"]) == ["barolo", "grignolino", "barbera"]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert answer["class"] == max(answer["probabilities"], key=answer["probabilities"].get) == "barolo"
    else:
        output = made.model.facts.output
        assert isinstance(output, RegressionOutput)
        low, high = (answer["value"] + sign * output.margin for sign in (-1, 1))
        assert answer["interval"] == {"low": pytest.approx(low), "high": pytest.approx(high), "coverage": 0.9}
        assert answer["unit"] == "points of progression"


def test_a_batch_answers_as_single_requests_do_in_json_and_in_arrow(made: Made) -> None:
    good = example(made.case)
    columns = list(good)
    bodies = [*rows_of(made.case)[columns].head(30).to_dict("records"), good | {columns[0]: "much"}]
    alone = [each.json() for each in ask(made, *bodies)]
    (batch,) = ask(made, {"instances": bodies}, path="/predict/batch")
    (arrow,) = ask(made, {"instances": bodies}, path="/predict/batch", accept=ARROW)
    rows = pa.ipc.open_stream(arrow.content).read_all().to_pylist()
    for one, item, row in zip(alone[:-1], batch.json()["predictions"], rows, strict=False):
        assert {name: row[name] for name in item} == item
        assert item.pop("kept") == "none"
        assert item == {name: close(one[name]) for name in item}
    assert [row["code"] for row in rows] == [None] * 30 + ["invalid-request"]


def test_the_protocols_give_the_same_predictions(made: Made) -> None:
    rows = rows_of(made.case)[list(example(made.case))].head(30)
    alone = [each.json() for each in ask(made, *rows.to_dict("records"))]
    frame = {"dataframe_split": rows.to_dict("split")}
    (scored,) = ask(made, frame, path="/invocations")
    for one, item in zip(alone, scored.json()["predictions"], strict=True):
        assert {name: item[name] for name in item if name != "kept"} == {
            name: close(one[name]) for name in item if name != "kept"
        }
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [30, 1], "data": each.tolist()} for name, each in rows.items()
    ]
    (inferred,) = ask(made, {"inputs": inputs}, path=f"/v2/models/{made.case.model_name}/infer")
    outputs = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in inferred.json()["outputs"]}
    if made.case.name == "wine":
        assert outputs["class"].tolist() == [one["class"] for one in alone]
        expected = np.array([[*one["probabilities"].values()] for one in alone])
        assert outputs["probabilities"] == pytest.approx(expected)
    else:
        assert outputs["value"] == pytest.approx(np.array([one["value"] for one in alone]))
        intervals = [[one["interval"]["low"], one["interval"]["high"]] for one in alone]
        assert outputs["interval"] == pytest.approx(np.array(intervals))


def test_the_document_describes_the_answers(made: Made) -> None:
    described = document(create_app(made.case), made.case, "1")
    shown = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    (response,) = ask(made, example(made.case))
    Draft202012Validator({**shown, "components": described["components"]}).validate(response.json())
    problems = json.dumps(described["paths"]["/predict"]["post"]["responses"]["422"])
    assert ("prediction-out-of-range" in problems) == (made.case.name == "diabetes")


def test_the_facts_name_classes_or_unit_and_come_back_the_same(made: Made) -> None:
    facts = made.version.facts
    assert facts == made.model.facts == ModelFacts.from_dict(json.loads(json.dumps(facts.to_dict())))
    shown = model_answer(made.model, Lineage("x", "1", "", ""), None)
    assert shown.threshold is None
    assert shown.target is not None
    assert shown.target.get("classes", shown.target.get("unit")) in (
        ("barolo", "grignolino", "barbera"),
        "points of progression",
    )


def test_it_comes_out_the_same_again_and_can_be_traced(made: Made) -> None:
    result = reproduce(made.settings, made.case, made.version)
    assert result.agrees, result
    assert result.greatest_difference == 0
    assert trace_version(made.settings, made.case, made.version.version)


@pytest.fixture(scope="module")
def other(made: Made) -> tuple[Evaluation, ModelVersion]:
    """The other estimator of the use case, registered."""
    (name,) = (name for name in made.case.estimators if name != "default")
    return _trained(made.settings, made.case, name)


def test_another_estimator_takes_its_place_and_a_rollback_ends_that(
    made: Made, other: tuple[Evaluation, ModelVersion]
) -> None:
    _, version = other
    assert promote(made.settings, version, judge=lambda _: [Criterion("good", True, {}, "")]).promoted
    assert require_production(made.settings, made.case).version == version.version
    rollback(made.settings, made.case, reason="complaints")
    assert require_production(made.settings, made.case).version == made.version.version


def test_a_service_that_follows_the_registry_goes_over_to_a_new_version(
    made: Made, other: tuple[Evaluation, ModelVersion], tmp_path: Path
) -> None:
    evaluation, version = other

    class Registry:
        async def fetch(self, _: ProductionVersion, folder: Path) -> None:
            with downloaded(made.settings, evaluation.model_uri) as kept:
                shutil.copytree(kept, folder, dirs_exist_ok=True)

    async def main() -> tuple[BaseModel, BaseModel]:
        worker = Worker(made.settings, made.case, bento="none:1")
        request = made.case.request(**example(made.case))
        live = LiveModel(worker, Predictor(made.model, worker.lineage, worker))
        _, before = await live.predict(request, MARK)
        keys = trusted_keys(made.settings)
        models = ModelLoader(
            Registry(),  # type: ignore[arg-type]
            ModelCache(tmp_path),
            load=lambda folder, run_id: load_model(folder, made.case, keys, run_id=run_id),
        )
        loader = CandidateLoader(live, models)
        new = await loader.load(ProductionVersion(version=version.version, run_id=version.run_id, source="here"))
        await loader.open_features(new)
        live.swap(new, probation_seconds=60)
        _, after = await live.predict(request, MARK)
        return before.answer, after.answer

    before, after = asyncio.run(main())
    assert type(before) is type(after)
    assert before != after


@pytest.mark.parametrize("change", ["classes", "unit", "kind"])
def test_a_model_of_another_target_is_refused(made: Made, change: str) -> None:
    other = load("breast_cancer").target
    if change != "kind":
        target = made.case.target
        name, value = ("classes", ("b", "a")) if made.case.name == "wine" else ("unit", "miles")
        other = replace(target, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"was trained for .*[Tt]rain again"):
        replace(made.case, target=other).check_model(made.version.facts)


def _with(values: pd.Series, row: int, label: Any) -> pd.Series:
    changed = values.astype(object)
    changed.iloc[row] = label
    return changed


BAD: Mapping[str, list[tuple[Any, str]]] = {
    "wine": [
        (lambda values: _with(values, 7, "zinfandel"), "hold 'zinfandel', and the classes are barolo, grignolino"),
        (lambda values: _with(values, 7, None), "hold None, and the classes are"),
        (lambda values: _with(values, 7, 1.5), "hold 1.5, and the classes are"),
        (lambda values: "barolo", "are all the same, and a model needs several classes"),
        (
            lambda values: ["barolo", *["barbera"] * 177],
            "rows of the class 'grignolino': at least 3 are needed|cannot be",
        ),
    ],
    "diabetes": [
        (lambda values: _with(values, 7, nan).astype(float), "hold nan, and must be finite numbers"),
        (lambda values: _with(values, 7, np.inf).astype(float), "hold inf, and must be finite numbers"),
        (lambda values: _with(values, 7, "high"), "are object, such as 151.0, and must be numbers"),
        (lambda values: _with(values, 7, -1).astype(float), "hold -1, and must be from 0 to inf"),
        (lambda values: 3.0, "are all 3, and a model needs different ones"),
    ],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, each in BAD.items() for number in range(len(each))]
)
def test_labels_that_are_not_of_the_target_end_the_training_with_one_sentence(
    settings: Settings, name: str, number: int
) -> None:
    change, message = BAD[name][number]
    case = load(name)
    assert isinstance(case.source, FromRequest)
    broken = with_labels(case, change(rows_of(case)[case.source.label]))
    with pytest.raises(TrainingSetError, match=message) as refused:
        train(settings, broken, build_training_set(settings, broken, case.source.as_of))
    assert len(str(refused.value).splitlines()) == 1


def test_the_wrong_kind_of_estimator_is_refused_before_a_run_begins(settings: Settings) -> None:
    cases = {name: load(name) for name in ("wine", "diabetes")}
    for name, other in (("wine", "diabetes"), ("diabetes", "wine")):
        case = replace(cases[name], model_name=f"mixed_{name}", estimators=cases[other].estimators)
        with pytest.raises(ModelError, match=r"is no (classifier|regressor): use one") as refused:
            train(settings, case, build_training_set(settings, case, case.source.as_of))  # type: ignore[union-attr]
        assert len(str(refused.value).splitlines()) == 1
        assert open_tracking(settings).get_experiment_by_name(case.model_name) is None


def test_a_prediction_beyond_the_targets_range_is_a_problem_of_the_contract(settings: Settings) -> None:
    case = load("diabetes")
    narrow = replace(case, target=replace(case.target, maximum=347.0))
    _, version = _trained(settings, replace(narrow, model_name="narrow"))
    with verified_version(settings, version) as verified:
        model = load_verified(verified, narrow)
    made = Made(settings, narrow, None, version, None, model)  # type: ignore[arg-type]
    far = example(case) | {"bmi": 150.0, "s5": 15.0}
    alone, good = ask(made, far, example(case))
    assert (alone.status_code, alone.json()["code"]) == (422, "prediction-out-of-range")
    assert "and only 0 to 347 is possible" in alone.json()["detail"]
    (batch,) = ask(made, {"instances": [example(case), far]}, path="/predict/batch")
    assert batch.json()["predictions"][0]["value"] == pytest.approx(good.json()["value"])
    assert batch.json()["predictions"][1]["problem"]["code"] == "prediction-out-of-range"
