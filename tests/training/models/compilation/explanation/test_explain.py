"""Explainers of fitted models: contributions and base add up to the score; other models are refused with a reason."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from asof.errors import ModelError, NotExplained
from asof.inference.explanation.explainer import Explainer, Space
from tests.kits.estimators.problems import COMPILED, NUMBER, NUMBERS, ROWS, SEVERAL, TWO, Case, Problem, on_all_columns
from tests.kits.estimators.table import SECTIONS, problems
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import arrays_of, explainer_of

pytestmark = pytest.mark.filterwarnings("ignore")

OPAQUE = {
    *("QuadraticDiscriminantAnalysis", "GaussianNB", "BernoulliNB", "MultinomialNB", "ComplementNB"),
    *("AdaBoostClassifier", "AdaBoostRegressor", "BaggingClassifier", "BaggingRegressor", "OneVsRestClassifier"),
    *("VotingClassifier(voting='soft')", "VotingRegressor", "StackingClassifier", "StackingRegressor"),
    *("StackingClassifier(passthrough=True)", "SGDClassifier(loss='modified_huber')"),
    *("CalibratedClassifierCV(method='sigmoid')", "CalibratedClassifierCV(method='isotonic')"),
    *("CalibratedClassifierCV(method='temperature')", "CalibratedClassifierCV(method='temperature') of a forest"),
    *("CalibratedClassifierCV(ensemble=False)", "CalibratedClassifierCV(SVC()), two classes"),
    *("MLPClassifier", "MLPClassifier(activation='tanh', solver='lbfgs')", "MLPRegressor", "DummyClassifier"),
    *("MLPClassifier(activation='logistic', solver='sgd')", "MLPRegressor(loss='poisson')", "DummyRegressor"),
    *("SVR", "NuSVR(kernel='linear')", "TransformedTargetRegressor(transformer=StandardScaler())"),
    "TransformedTargetRegressor(func=numpy.log1p, inverse_func=numpy.expm1)",
}
"""Compiled estimators whose answers have no explanation."""
MIXING = {
    *("Normalizer", "Normalizer(norm='max')", "PolynomialFeatures", "PCA", "PCA(whiten=True)", "TruncatedSVD"),
    *("PolynomialFeatures(3, interaction_only=True, include_bias=False)", "IterativeImputer"),
}
"""Transformers that make a column of several features."""


def cases() -> list[Any]:
    """One problem of each compiled case."""
    every = [
        (case, problem)
        for section, listed in SECTIONS.items()
        for case in listed
        for problem in problems(section, case)
        if case.outcome == COMPILED and problem is not SEVERAL
    ]
    return [pytest.param(*each, id=f"{each[0].title} | {each[1].name}") for each in every]


def explained(model: Any, problem: Problem, rows: pd.DataFrame = ROWS) -> Explainer:
    compiled = compile_model(model, rows, problem.output)
    made = explainer_of(model, rows, compiled.runtime)
    kept = Explainer.from_bytes(made.to_bytes())
    assert kept.to_bytes() == made.to_bytes()
    return kept


@pytest.mark.parametrize(("case", "problem"), cases())
def test_the_contributions_add_up_to_the_score_or_there_are_none(case: Case, problem: Problem) -> None:
    model = case.model.fit(ROWS, problem.labels)
    if case.title in OPAQUE | MIXING:
        with pytest.raises(NotExplained):
            explained(model, problem)
        return
    explainer = explained(model, problem)
    for each, score in zip(explainer.explain(arrays_of(ROWS)), scores(explainer, model), strict=True):
        assert each.score == pytest.approx(score, abs=1e-9)
        assert list(each.contributions) == list(ROWS)


def scores(explainer: Explainer, model: Any) -> Any:
    """scikit-learn's."""
    match explainer.space:
        case Space.PROBABILITY:
            return model.predict_proba(ROWS)[:, 1]
        case Space.LOG_ODDS:
            return model.decision_function(ROWS)
        case Space.LOGARITHM:
            return np.log(model.predict(ROWS))
        case Space.NUMBER:
            return model.predict(ROWS)


def test_a_linear_contribution_is_the_weight_times_the_distance_from_the_mean() -> None:
    numbers = ROWS[["hours", "tickets"]]
    model = make_pipeline(StandardScaler(), Ridge()).fit(numbers, NUMBER.labels)
    (first, *_) = explained(model, NUMBER, numbers).explain(arrays_of(numbers))
    weights = model[-1].coef_ / model[0].scale_
    own = weights * (numbers - numbers.mean()).iloc[0]
    np.testing.assert_allclose(list(first.contributions.values()), own, atol=1e-12)
    assert first.base == pytest.approx(model.predict(numbers).mean())


def test_a_probability_may_be_next_to_one() -> None:
    """The log odds are exact where the probability has no digits left; and a single scaled column is not rounded."""
    model = make_pipeline(make_column_transformer((StandardScaler(), ["hours"])), LogisticRegression(C=1e3))
    model.fit(ROWS, (ROWS["hours"] > ROWS["hours"].median()).astype(int))
    every = explained(model, TWO).explain(arrays_of(ROWS))
    np.testing.assert_allclose([each.score for each in every], model.decision_function(ROWS), rtol=1e-9)
    assert max(model.predict_proba(ROWS)[:, 1]) > 1 - 1e-12


def test_an_encoded_column_is_one_feature_and_an_unused_one_contributes_nothing() -> None:
    model = on_all_columns(LogisticRegression(max_iter=5000)).fit(ROWS, TWO.labels)
    numbers = model[:-1].transform(ROWS)
    parts = (numbers - numbers.mean(axis=0)) * model[-1].coef_[0]
    every = explained(model, TWO).explain(arrays_of(ROWS))
    np.testing.assert_allclose([each.contributions["plan"] for each in every], parts[:, :3].sum(axis=1), atol=1e-9)
    narrow = make_pipeline(make_column_transformer(("passthrough", ["hours"])), LogisticRegression())
    (first, *_) = explained(narrow.fit(ROWS, TWO.labels), TWO).explain(arrays_of(ROWS))
    assert {name for name, value in first.contributions.items() if value} == {"hours"}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            make_pipeline(PCA(2), LogisticRegression()),
            "a column is made of several features: hours, tickets, paperless",
        ),
        (make_pipeline(PolynomialFeatures(2), Ridge()), "several features: hours, tickets"),
    ],
    ids=["PCA", "PolynomialFeatures"],
)
def test_a_column_of_several_features_is_no_feature(model: Any, reason: str) -> None:
    numbers = ROWS[["hours", "tickets", "paperless"]]
    problem = NUMBER if isinstance(model[-1], Ridge) else TWO
    with pytest.raises(NotExplained, match=reason):
        explained(model.fit(numbers, problem.labels), problem, numbers)


def test_a_spline_is_one_feature() -> None:
    numbers = ROWS[["hours", "tickets"]]
    model = make_pipeline(SplineTransformer(), Ridge()).fit(numbers, NUMBER.labels)
    each = explained(model, NUMBER, numbers).explain(arrays_of(numbers))[7]
    assert each.score == pytest.approx(model.predict(numbers)[7], abs=1e-9)


def test_several_classes_have_no_single_score() -> None:
    model = on_all_columns(RandomForestClassifier(3)).fit(ROWS, SEVERAL.labels)
    with pytest.raises(NotExplained, match="several classes"):
        explained(model, SEVERAL)


def test_categories_of_histogram_boosting_are_one_feature() -> None:
    numbers = ROWS[NUMBERS].assign(code=ROWS["plan"].map({"monthly": 0.0, "yearly": 1.0, "not applicable": 2.0}))
    model = HistGradientBoostingClassifier(categorical_features=[4], max_iter=20, min_samples_leaf=5)
    model.fit(numbers, TWO.labels)
    explainer = explained(model, TWO, numbers)
    every = explainer.explain(arrays_of(numbers))
    np.testing.assert_allclose([each.score for each in every], model.decision_function(numbers), atol=1e-9)
    assert any(each.contributions["code"] for each in every)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a file"])
def test_another_file_is_none(content: bytes) -> None:
    with pytest.raises(ModelError, match="does not load"):
        Explainer.from_bytes(content)
