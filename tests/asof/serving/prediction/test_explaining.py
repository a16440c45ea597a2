"""Models that explain their answers, and models that cannot: a reason or no number, and the score is never another."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from asof.inference.explanation.explainer import Explainer
from asof.inference.explanation.linear_sum import LinearSum
from asof.serving.http.concurrency_limit import SLOW_SECONDS
from asof.serving.prediction.live import LiveModel
from asof.settings import Settings
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import CONTRACT, EXAMPLE
from tests.kits.models.published import publish
from tests.kits.service.answers import problem
from tests.kits.service.application import application
from training.release.registry.versions import ModelVersion

CANCER = load("breast_cancer")
BODY = {"features": list(EXAMPLE)}


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    rows = CANCER.source.rows()  # type: ignore[union-attr]
    return pd.DataFrame(rows[CONTRACT.names])


@pytest.fixture(scope="module")
def forest(settings: Settings, values: pd.DataFrame) -> ModelVersion:
    return publish(settings, CANCER, RandomForestClassifier(40, random_state=0), CONTRACT, values)


def ask(
    settings: Settings, version: ModelVersion, *bodies: Mapping[str, Any], change: Any = lambda live: None
) -> Sequence[Any]:
    async def main() -> Sequence[Any]:
        async with application(settings, CANCER, version) as client:
            change(client._transport.app.app.state.live)  # type: ignore[attr-defined]
            return [await client.post("/predict", json=body) for body in bodies]

    return asyncio.run(main())


def test_a_forest_explains_its_probability_in_a_thread(settings: Settings, forest: ModelVersion) -> None:
    explained, plain = (each.json() for each in ask(settings, forest, {**BODY, "explain": True}, BODY))
    why = explained.pop("explanation")
    assert why["space"] == "probability"
    total = why["base"] + sum(each["contribution"] for each in why["contributions"])
    positive = explained["probabilities"]["malignant" if CANCER.target.classes[1] == "malignant" else "benign"]  # type: ignore[index]
    assert total == pytest.approx(why["score"], abs=1e-9)
    assert why["score"] == pytest.approx(positive, abs=1e-9)
    names = {each["feature"] for each in why["contributions"]}
    assert names == {*CONTRACT.names, *CANCER.derived}, "a derived column has a contribution of its own"
    assert explained | {"request_id": ""} == plain | {"request_id": ""}


def test_an_explanation_that_takes_too_long_is_refused_and_plain_answers_go_on(
    settings: Settings, forest: ModelVersion
) -> None:
    hasty = settings.model_copy(update={"explain_seconds": 1e-9})
    explained, plain = ask(hasty, forest, {**BODY, "explain": True}, BODY)
    problem(explained, 503, "explanation-too-slow")
    assert explained.headers["Retry-After"] == "1"
    assert plain.status_code == 200


class Slow(Explainer):
    """Takes longer than a request may that is not slow."""

    def explain(self, *arguments: Any) -> Any:
        time.sleep(1.1 * SLOW_SECONDS)
        return super().explain(*arguments)


def test_slow_explanations_do_not_lower_the_limit_of_plain_requests(settings: Settings, forest: ModelVersion) -> None:
    lives: list[LiveModel] = []

    def slow(live: LiveModel) -> None:
        predictor = live.current
        explainer = predictor.model.explainer
        assert explainer is not None
        predictor.model = replace(
            predictor.model, explainer=Slow(**{each.name: getattr(explainer, each.name) for each in fields(explainer)})
        )
        lives.append(live)

    answers = ask(settings, forest, *[{**BODY, "explain": True}] * 3, change=slow)
    assert {each.status_code for each in answers} == {200}
    assert lives[0].worker.concurrency_limit.limit == settings.max_in_flight


def test_a_model_without_an_explanation_is_named_with_where_the_reason_is(
    settings: Settings, values: pd.DataFrame
) -> None:
    version = publish(settings, CANCER, GaussianNB(), CONTRACT, values)
    explained, plain = ask(settings, version, {**BODY, "explain": True}, BODY)
    document = problem(explained, 422, "explanation-unavailable")
    assert f"Version {version.version} of breast_cancer (estimator made up)" in document["detail"]
    assert version.run_id in document["detail"]
    assert plain.status_code == 200


def test_contributions_that_are_not_those_of_the_score_are_never_shown(
    settings: Settings, forest: ModelVersion
) -> None:
    def spoil(live: LiveModel) -> None:
        predictor = live.current
        explainer = predictor.model.explainer
        assert explainer is not None
        assert not isinstance(explainer.sum, LinearSum)
        wrong = replace(explainer, sum=replace(explainer.sum, start=1e-6))
        predictor.model = replace(predictor.model, explainer=wrong)

    explained, plain = ask(settings, forest, {**BODY, "explain": True}, BODY, change=spoil)
    problem(explained, 422, "explanation-unavailable")
    assert plain.status_code == 200
