"""A search in worker processes: the same result as in one, whatever becomes of the processes."""

import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.models.training import made_up_set
from training.models.fitting import search_workers
from training.models.fitting.model_digest import model_digest
from training.models.fitting.search_workers import begin, fit_search, start_early
from training.one_thread import one_thread

ROWS = made_up_set(400)
NUMBERS = ROWS.features[["hours", "tickets", "paperless"]]


@pytest.fixture(autouse=True)
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine with one processor, or with many."""
    monkeypatch.setattr(search_workers, "_workers", lambda: 2)


class Fragile(LogisticRegression):
    """Kills its process where that is a worker, the first one that comes to it."""

    def __init__(self, marker: str = "", parent: int = 0, C: float = 1.0) -> None:  # noqa: N803 - its name
        super().__init__(C=C)
        self.marker, self.parent = marker, parent

    def fit(self, features: Any, labels: Any, sample_weight: Any = None) -> "Fragile":
        if os.getpid() != self.parent:
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(features, labels, sample_weight)
        return self


class OfThisProcess(BaseEstimator):  # type: ignore[misc]
    """A parameter that no other process can have."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> "OfThisProcess":
        return self

    def __sklearn_clone__(self) -> "OfThisProcess":
        return self

    def fit(self, features: Any, labels: Any) -> "OfThisProcess":
        self.classes_ = np.unique(labels)
        return self

    def predict(self, features: Any) -> Any:
        return np.zeros(len(features), dtype=int)


def boosted() -> Any:
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1)
    return GridSearchCV(model, {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [4, 8]}, cv=3, scoring="neg_log_loss")


def test_the_model_and_every_score_are_the_same_to_the_last_bit() -> None:
    with one_thread():
        alone = boosted().set_params(n_jobs=1).fit(NUMBERS, ROWS.labels)
        shared = fit_search(boosted(), NUMBERS, ROWS.labels)

    assert shared.n_jobs == 2
    assert model_digest(shared.best_estimator_) == model_digest(alone.best_estimator_)
    for name in ("mean_test_score", "split0_test_score", "rank_test_score"):
        assert shared.cv_results_[name].tobytes() == alone.cv_results_[name].tobytes()


def test_a_search_whose_workers_are_killed_is_fitted_here(tmp_path: Path) -> None:
    marker = tmp_path / "killed"

    fitted = fit_search(GridSearchCV(Fragile(str(marker), os.getpid()), {"C": [0.1, 1.0]}, cv=3), NUMBERS, ROWS.labels)

    assert marker.exists()
    assert np.isfinite(fitted.best_score_)


def test_what_cannot_be_sent_to_a_worker_is_fitted_here() -> None:
    fitted = fit_search(GridSearchCV(OfThisProcess(), {}, cv=3, scoring="accuracy"), NUMBERS, ROWS.labels)

    assert fitted.n_jobs == 1
    assert fitted.best_score_ > 0


@pytest.mark.parametrize("given", [1, 2])
def test_the_jobs_that_a_use_case_gives_are_kept(given: int) -> None:
    fitted = fit_search(boosted().set_params(n_jobs=given, cv=2), NUMBERS, ROWS.labels)
    assert fitted.n_jobs == given


def test_large_features_are_not_copied_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_workers, "MAX_BYTES", 100)
    assert fit_search(boosted(), NUMBERS, ROWS.labels).n_jobs is None


def test_an_estimator_that_is_no_search_is_fitted_as_it_is() -> None:
    assert fit_search(LogisticRegression(), NUMBERS, ROWS.labels).n_jobs is None


def _pid(*_: object) -> int:
    return os.getpid()


def _die_elsewhere(here: int) -> str:
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_later_work_is_done_by_the_workers_of_a_search_and_else_when_it_is_waited_for() -> None:
    searched = fit_search(boosted(), NUMBERS, ROWS.labels)

    first, second = begin(searched, _pid, 1), begin(searched, _pid, 2)
    assert begin(LogisticRegression(), _pid)() == os.getpid()
    assert os.getpid() not in {first(), second()}


def test_work_of_a_worker_that_is_killed_is_done_here() -> None:
    searched = fit_search(boosted(), NUMBERS, ROWS.labels)

    assert begin(searched, _die_elsewhere, os.getpid())() == "done"


def test_an_error_of_later_work_comes_when_it_is_waited_for() -> None:
    waiting = begin(fit_search(boosted(), NUMBERS, ROWS.labels), int, "seven")

    with pytest.raises(ValueError, match="seven"):
        waiting()


def test_workers_start_early_for_a_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[str]()
    monkeypatch.setattr(search_workers, "_start", lambda: started.append("started"))
    registered = SimpleNamespace(contract=ROWS.contract)
    monkeypatch.setattr("asof.features.feature_store.registered_service", lambda *_: registered)
    threads = set(threading.enumerate())

    for estimator in ("seed-baseline", "default"):
        start_early(Settings(), load("churn"), estimator)
        for each in set(threading.enumerate()) - threads:
            each.join()
        assert started == ([] if estimator == "seed-baseline" else ["started"])


def test_an_early_start_leaves_workers_that_wait() -> None:
    search_workers._start()

    lines = [" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)]
    assert len([each for each in lines if "popen_loky" in each]) >= 2, lines
