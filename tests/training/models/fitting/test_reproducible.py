"""A use case may leave threads, output and determinism of a booster open: the same rows give the same model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from tests.kits.models.training import made_up_set
from training.models.fitting.model_digest import model_digest
from training.models.fitting.reproducible import forget_when, make_reproducible

ROWS = made_up_set(300)
NUMBERS = ROWS.features[["hours", "tickets", "paperless"]]


def catboost(**options: Any) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(iterations=5, **options)


def lightgbm(**options: Any) -> Any:
    return LGBMClassifier(n_estimators=5, **options)


def xgboost(**options: Any) -> Any:
    return XGBClassifier(n_estimators=5, **options)


LIBRARIES = [lightgbm, xgboost, pytest.param(catboost, marks=pytest.mark.soak)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_fits_give_the_same_file_print_nothing_and_write_nothing(
    library: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models = [forget_when(make_reproducible(library()).fit(NUMBERS, ROWS.labels)) for _ in range(2)]
    assert model_digest(models[0]) == model_digest(models[1])
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_every_booster_inside_an_estimator_is_found() -> None:
    parts = [LGBMClassifier() for _ in range(4)]
    search = GridSearchCV(
        Pipeline([("model", parts[0])]),
        [{"model": [parts[1], VotingClassifier([("one", parts[2])])]}, {"model": [Pipeline([("in", parts[3])])]}],
    )
    assert make_reproducible(search) is search
    assert [part.n_jobs for part in parts] == [1, 1, 1, 1]


def test_what_a_use_case_decides_stays() -> None:
    model = make_reproducible(LGBMClassifier(n_jobs=3, force_row_wise=True, verbosity=2, deterministic=False))
    chosen = model.get_params()
    assert (chosen["n_jobs"], chosen["deterministic"], chosen["verbosity"]) == (3, False, 2)
    assert not {"force_col_wise", "verbose"} & chosen.keys()


@pytest.mark.soak
def test_only_what_no_prediction_depends_on_is_forgotten() -> None:
    model = make_reproducible(catboost()).fit(NUMBERS, ROWS.labels)
    before = model.predict_proba(NUMBERS)
    assert np.array_equal(forget_when(model).predict_proba(NUMBERS), before)
    kept = dict(model.get_metadata().items())
    assert (kept["model_guid"], kept["train_finish_time"]) == ("", "")
    assert "Logloss" in kept["params"]
