"""Estimators that a use case may build: those that are promised go all the way, others are refused in one sentence."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import (
    SelectKBest,
    chi2,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from sklearn.impute import SimpleImputer
from sklearn.impute._iterative import IterativeImputer
from sklearn.linear_model import Lasso, LogisticRegression, RidgeClassifier, TweedieRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from asof.errors import AsOfError, ConfigurationError, ModelError, TrainingSetError, UntrustedModel
from asof.features.feature_contract import FeatureContract
from asof.model_facts import Split
from asof.settings import Settings, export
from asof.trust.trusted_types import BOOSTERS, TRUSTED_TYPES, load_trusted, untrusted_types
from asof.use_case import Estimator, UseCase
from tests.kits.models.promotion import apply_small_features, by_contest
from tests.kits.models.training import SMALL, made_up_set, small_use_case
from training.features.datasets.training_set import TrainingSet
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.model_digest import file_digest, model_digest
from training.models.fitting.train import train
from training.release.gate.serving_criteria import served_as_evaluated
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.targets import rules_of
from training.tracking.client import open_tracking

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROWS = made_up_set(400)
TREE, REGRESSION = DecisionTreeClassifier(max_depth=2, random_state=0), LogisticRegression()
PARTS = [("regression", REGRESSION), ("tree", TREE)]
SCORES = (f_regression, r_regression, chi2, mutual_info_classif, mutual_info_regression)
PROMISED: dict[str, Any] = {
    "imputed": make_pipeline(SimpleImputer(strategy="median"), LogisticRegression()),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=3),
    "calibrated-isotonic": CalibratedClassifierCV(TREE, method="isotonic", cv=3),
    "voting": VotingClassifier(PARTS, voting="soft"),
    "stacking": StackingClassifier(PARTS, cv=3),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(15)),
    "neighbours-ball": KNeighborsClassifier(15, algorithm="ball_tree", p=1),
    "neighbours-minkowski": KNeighborsClassifier(15, p=3),
    "perceptron": make_pipeline(StandardScaler(), MLPClassifier(4, max_iter=30, random_state=0)),
    "perceptron-sgd": make_pipeline(StandardScaler(), MLPClassifier(4, solver="sgd", max_iter=30, random_state=0)),
    "selected": make_pipeline(SelectKBest(k=2), KBinsDiscretizer(3), LogisticRegression()),
    "scores": make_pipeline(*(SelectKBest(score, k=4) for score in SCORES), LogisticRegression()),
    "temperature": CalibratedClassifierCV(TREE, method="temperature", cv=3),
    "splines": make_pipeline(SplineTransformer(), LogisticRegression()),
    "iterative": make_pipeline(IterativeImputer(), LogisticRegression()),
    "categorical": HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]),
}
NUMBERS: tuple[Any, ...] = (TweedieRegressor(power=1.5), TweedieRegressor(power=1.5, link="identity"))
ALL_THE_WAY = ("imputed", "stacking", "neighbours")
LONG_RUN = ("calibrated", "voting", "perceptron", "splines", "iterative", "categorical")


class OwnClassifier(LogisticRegression):
    """Of no library."""


class Silent(ClassifierMixin, BaseEstimator):
    """Its probabilities are none."""

    def fit(self, features: Any, labels: Any) -> "Silent":
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, features: Any) -> Any:
        return np.full((len(features), 2), np.nan)


class Renaming(Silent):
    def fit(self, features: Any, labels: Any) -> "Renaming":
        self.classes_ = np.array(["no", "yes"])
        return self


def on_numbers(model: Any) -> Callable[[FeatureContract, int], Any]:
    """Behind a one-hot encoding of the plan."""

    def build(contract: FeatureContract, _: int) -> Any:
        encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns = make_column_transformer((encode, contract.categories), remainder="passthrough")
        return Pipeline([("columns", columns), ("model", model)])

    return build


def use_case_of(name: str, build: Callable[[FeatureContract, int], Any]) -> UseCase:
    return small_use_case(f"estimators_{name}", default=Estimator("small_v1", build, name))


@pytest.fixture(scope="module")
def tracked(settings: Settings) -> Settings:
    export(settings)
    apply_small_features(settings, SMALL)
    return settings


@pytest.mark.parametrize("name", [*ALL_THE_WAY, *(pytest.param(name, marks=pytest.mark.soak) for name in LONG_RUN)])
def test_a_promised_estimator_is_trained_registered_promoted_and_loaded_by_the_service(
    tracked: Settings, name: str
) -> None:
    use_case = use_case_of(name, on_numbers(PROMISED[name]))
    version = register(tracked, evaluate(tracked, train(tracked, use_case, ROWS)))
    assert promote(tracked, version, judge=by_contest(tracked, version, lambda _: ROWS)).promoted
    served, _ = served_as_evaluated(tracked, use_case, version)
    assert served.passed, served.reason


@pytest.fixture(scope="module")
def saved() -> dict[str, tuple[Any, bytes]]:
    """Each promised estimator, fitted, and its file."""
    found = {}
    for name, model in PROMISED.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fits that have not converged
            fitted = on_numbers(model)(SMALL, 0).fit(ROWS.features, ROWS.labels)
        found[name] = (fitted, skops.io.dumps(fitted))
    return found


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_loaded_says_what_was_saved(saved: dict[str, tuple[Any, bytes]], name: str) -> None:
    fitted, content = saved[name]
    assert untrusted_types(content) == []
    loaded = load_trusted(content)
    assert np.array_equal(loaded.predict_proba(ROWS.features), fitted.predict_proba(ROWS.features))
    assert model_digest(loaded) == file_digest(BytesIO(content))


def test_every_trusted_type_is_needed_by_one_of_them(saved: dict[str, tuple[Any, bytes]]) -> None:
    numbers = ROWS.features.drop(columns="plan").abs()
    regressors = [skops.io.dumps(model.fit(numbers, numbers["hours"])) for model in NUMBERS]
    contents = [*(content for _, content in saved.values()), *regressors]
    held = {name for content in contents for name in skops.io.get_untrusted_types(data=content)}
    assert held == set(TRUSTED_TYPES) - set(BOOSTERS)


def test_a_partial_holds_only_a_function_that_is_trusted_itself() -> None:
    content = skops.io.dumps(FunctionTransformer(partial(made_up_set, seed=1)))
    assert untrusted_types(content) == ["tests.kits.models.training.made_up_set"]
    with pytest.raises(UntrustedModel, match="made_up_set"):
        load_trusted(content)


def lists_unknown(contract: FeatureContract, _: int) -> Any:
    import a_library_that_is_not_there  # type: ignore[import-not-found] # noqa: F401


REFUSED: dict[str, tuple[Callable[[FeatureContract, int], Any], str]] = {
    "regressor": (on_numbers(Lasso()), r"Lasso is no classifier"),
    "searched-regressor": (lambda *_: GridSearchCV(Lasso(), {"alpha": [1]}), r"Lasso is no classifier"),
    "idle": (on_numbers("passthrough"), r"passthrough is no classifier"),
    "transformer": (on_numbers(StandardScaler()), r"StandardScaler is no classifier"),
    "margins": (on_numbers(LinearSVC()), r"LinearSVC gives no probabilities \(predict_proba\)"),
    "ridge": (on_numbers(RidgeClassifier()), r"RidgeClassifier gives no probabilities"),
    "svc": (on_numbers(SVC()), r"SVC gives no probabilities"),
    "hard-vote": (
        on_numbers(VotingClassifier(PARTS)),
        r"VotingClassifier gives no probabilities .*: set voting='soft'",
    ),
    "search-without-refit": (
        lambda *_: GridSearchCV(on_numbers(LinearSVC())(SMALL, 0), {"model__C": [1]}, refit=False),
        r"LinearSVC gives no probabilities",
    ),
    "class": (lambda *_: LogisticRegression, r"is no estimator of scikit-learn"),
    "number": (lambda *_: 7, r"build gives 7, which is no estimator"),
    "own-class": (on_numbers(OwnClassifier()), r"OwnClassifier \(step 'model'\), which the service does not load"),
    "own-function": (
        on_numbers(make_pipeline(FunctionTransformer(made_up_set), REGRESSION)),
        r"made_up_set \(step 'model'\), which the service does not load",
    ),
    "search-inside": (
        on_numbers(GridSearchCV(REGRESSION, {"C": [1]}, cv=2)),
        r"GridSearchCV holds sklearn\.metrics\._scorer\._PassthroughScorer \(step 'model'\)",
    ),
    "column-selector": (
        on_numbers(
            make_pipeline(
                make_column_transformer((StandardScaler(), make_column_selector(pattern="hours"))), LogisticRegression()
            )
        ),
        r"make_column_selector \(step 'model'\), which the service does not load",
    ),
    "not-installed": (lists_unknown, r"not installed \(No module named 'a_library_that_is_not_there'\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_estimator_that_could_not_be_served_is_refused_before_a_run_begins(tracked: Settings, name: str) -> None:
    build, message = REFUSED[name]
    use_case = use_case_of(name, build)
    with pytest.raises((ModelError, ConfigurationError), match=message) as refused:
        train(tracked, use_case, ROWS)
    assert len(str(refused.value).splitlines()) == 1
    assert open_tracking(tracked).get_experiment_by_name(use_case.model_name) is None


@pytest.mark.parametrize(
    ("model", "message"),
    [(Silent(), r"Silent gives 400 of 400 rows no probability"), (Renaming(), r"the classes \['no', 'yes'\]")],
)
def test_what_is_no_probability_of_class_1_is_refused(model: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        rules_of(ROWS.target).predictions(model.fit(ROWS.features, ROWS.labels), ROWS.features)


def test_what_only_the_whole_fit_shows_is_refused_after_it(tracked: Settings) -> None:
    """A search whose base estimator is good, and which finds another."""
    search = GridSearchCV(on_numbers(REGRESSION)(SMALL, 0), {"model": [OwnClassifier()]}, cv=2)
    with pytest.raises(AsOfError, match=r"OwnClassifier \(step 'model'\), which the service does not load"):
        train(tracked, use_case_of("found", lambda *_: search), ROWS)


def test_a_trial_that_fails_for_its_few_rows_says_nothing(tracked: Settings) -> None:
    """Of a hundred neighbours sixty are there."""
    many = use_case_of("many", on_numbers(KNeighborsClassifier(100)))
    assert train(tracked, many, ROWS).run_id


def with_leavers_to_train_on(many: int) -> TrainingSet:
    """The rows, with so many of the rarer class on the training side."""
    left, held_out = ROWS.frame["left"], ROWS.entities.isin(ROWS.split(Split())[1].entities)
    kept = ~left | held_out | ((left & ~held_out).cumsum() <= many)
    return replace(ROWS, frame=ROWS.frame[kept].reset_index(drop=True))


def test_a_class_of_fewer_rows_than_folds_is_refused(tracked: Settings) -> None:
    with pytest.raises(TrainingSetError, match=r"has 2 complete rows with the label True: at least 3 are needed"):
        train(tracked, use_case_of("rare", on_numbers(REGRESSION)), with_leavers_to_train_on(2))


@pytest.mark.filterwarnings("ignore:Scoring failed", "ignore:One or more of the test scores are non-finite")
@pytest.mark.filterwarnings("ignore:The least populated class in y has only 4 members")
def test_a_search_whose_folds_lack_a_class_is_refused(tracked: Settings) -> None:
    search = GridSearchCV(on_numbers(REGRESSION)(SMALL, 0), {"model__C": [1]}, scoring="neg_log_loss", cv=5)
    with pytest.raises(TrainingSetError, match="where a fold has rows of one class"):
        train(tracked, use_case_of("folds", lambda *_: search), with_leavers_to_train_on(4))
