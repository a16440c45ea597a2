"""A search whose candidates share fitted steps: the same model and scores, with fewer fits."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from training.models.fitting import shared_steps as shared
from training.models.fitting.model_digest import model_digest

FOLDS, CANDIDATES = 5, {"model__C": [0.1, 1.0, 10.0], "scale__with_mean": [True, False]}


class Counted(StandardScaler):  # type: ignore[misc]
    """Counts its fits in a list of the class, which clones have too."""

    fits: list[int] = []  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: N803 - the names of scikit-learn
        self.fits.append(len(X))
        return super().fit(X, y, sample_weight)


def _times(rows: Any, factor: int) -> Any:
    rows *= factor
    return rows


@pytest.fixture
def search() -> GridSearchCV:
    Counted.fits.clear()
    return GridSearchCV(Pipeline([("scale", Counted()), ("model", LogisticRegression())]), CANDIDATES, cv=FOLDS)


def _rows() -> tuple[Any, Any]:
    generator = np.random.default_rng(7)
    features = generator.normal(size=(200, 4))
    return features, (features[:, 0] + generator.normal(size=200) > 0).astype(int)


def test_a_step_is_fitted_once_for_the_same_rows_and_parameters(search: GridSearchCV) -> None:
    with shared.shared_steps(search):
        search.fit(*_rows())
    assert len(Counted.fits) == 2 * FOLDS + 1  # one for all rows


def test_the_model_and_its_scores_are_the_same(search: GridSearchCV) -> None:
    with shared.shared_steps(search):
        search.fit(*_rows())
    other = GridSearchCV(search.estimator, CANDIDATES, cv=FOLDS).fit(*_rows())
    assert search.best_estimator_.memory is None
    assert model_digest(search.best_estimator_) == model_digest(other.best_estimator_)
    assert search.cv_results_["mean_test_score"].tolist() == other.cv_results_["mean_test_score"].tolist()


def test_a_later_step_may_change_the_rows_in_place() -> None:
    steps = [("scale", StandardScaler()), ("times", FunctionTransformer(_times)), ("model", LogisticRegression())]
    factors = [{"factor": 2}, {"factor": 3}]
    search = GridSearchCV(Pipeline(steps), {"times__kw_args": factors, "model__C": [0.001, 0.01]}, cv=FOLDS)
    with shared.shared_steps(search):
        search.fit(*_rows())
    other = GridSearchCV(search.estimator, search.param_grid, cv=FOLDS).fit(*_rows())
    assert np.array_equal(search.best_estimator_["model"].coef_, other.best_estimator_["model"].coef_)
    assert search.cv_results_["mean_test_score"].tolist() == other.cv_results_["mean_test_score"].tolist()


def test_a_step_that_cannot_be_pickled_is_fitted_each_time(search: GridSearchCV) -> None:
    search.estimator.steps.insert(0, ("double", FunctionTransformer(lambda rows: 2 * rows)))
    with shared.shared_steps(search):
        search.fit(*_rows())
    assert search.best_score_ > 0.5


def test_what_is_kept_is_limited(search: GridSearchCV, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_BYTES", 0)
    with shared.shared_steps(search):
        search.fit(*_rows())
    assert len(Counted.fits) == 6 * FOLDS + 1


def test_a_memory_of_the_use_case_stays(search: GridSearchCV, tmp_path: Any) -> None:
    search.estimator.set_params(memory=str(tmp_path))
    with shared.shared_steps(search):
        search.fit(*_rows())
    assert search.best_estimator_.memory == str(tmp_path)
