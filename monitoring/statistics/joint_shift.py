"""Do the inputs differ together? A model that tells rows of the training from rows of now does so by chance, or better.

Lopez-Paz and Oquab, Revisiting classifier two-sample tests (ICLR 2017). It sees what no feature shows by itself, as two
features that have begun to go together.
"""

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asof.monitor_bounds import MonitorBounds
from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import Measured, judged
from training.metrics.classification import Floats, Labels, auc_estimate
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MAX_ROWS = 2000
"""Of either sample."""
FOLDS = 5
WIDER = sqrt(1 + FOLDS / (FOLDS - 1))
"""Of errors, as the models of the folds share rows: Nadeau and Bengio, Machine Learning 52 (2003)."""
SEED = 47
BOUNDS = MonitorBounds()
"""Its limit of the AUC is about that of a normal feature moved by a third of its standard deviation: a PSI of 0.1."""
MAX_CATEGORIES = 100
LARGEST = 1e300
Columns = Mapping[str, NDArray[Any]]


def joint_shift(
    before: Columns,
    now: Columns,
    *,
    entities: tuple[NDArray[Any], NDArray[Any]] | None = None,
    seed: int = SEED,
    bounds: MonitorBounds = BOUNDS,
) -> list[Measured]:
    """The figure `auc`: out of fold, of "training or now?", with its interval and the p-value of 0.5.

    Columns as `asof.features.feature_contract.input_arrays` has them, each of shape (rows,), the same names on both
    sides; of more than MAX_ROWS rows a sample. `entities` are those of the rows: an entity that is in both samples is
    in one fold, or the model would know its row of the training again and name the one of now after it.
    """
    rows = len(next(iter(before.values()), ())), len(next(iter(now.values()), ()))
    if min(rows) < bounds.min_rows:
        detail = {"p_value": None, "reference_rows": rows[0]}
        return [Measured(Subject.JOINT_SHIFT, "auc", None, rows[1], verdict=Verdict.TOO_FEW, detail=detail)]
    generator = np.random.default_rng(seed)
    picked = [np.sort(generator.permutation(count)[:MAX_ROWS]) for count in rows]
    columns = {name: np.concatenate([before[name][picked[0]], now[name][picked[1]]]) for name in before}
    labels = np.repeat([0, 1], [each.size for each in picked])
    folds = _folds(labels, entities and [each[rows] for each, rows in zip(entities, picked, strict=True)], generator)
    ranks = _out_of_fold(_matrix(columns), labels, folds, [values.dtype == object for values in columns.values()])
    return [_measured(labels, ranks, rows, limit=bounds.joint_auc)]


def _measured(labels: Labels, ranks: Floats, rows: tuple[int, int], *, limit: float) -> Measured:
    from scipy import stats

    found, (first, second) = auc_estimate(labels, ranks), np.bincount(labels).tolist()
    low, high = (found.value + WIDER * (end - found.value) for end in (found.low, found.high))
    error = WIDER * sqrt((first + second + 1) / (12 * first * second))  # of the Mann-Whitney test
    p_value = float(stats.norm.sf((found.value - 0.5) / error))
    verdict = judged(Subject.JOINT_SHIFT, p_value, large=found.value >= limit)
    detail = {"p_value": p_value, "reference_rows": rows[0], "sampled": [first, second]}
    return Measured(Subject.JOINT_SHIFT, "auc", found.value, rows[1], "", max(low, 0), min(high, 1), verdict, detail)


def _folds(labels: Labels, entities: "list[NDArray[Any]] | None", generator: np.random.Generator) -> Labels:
    """The fold of each row, by its entity."""
    import pandas as pd

    groups = np.arange(labels.size) if entities is None else pd.factorize(np.concatenate(entities))[0]
    return np.asarray((generator.permutation(groups.max() + 1) % FOLDS)[groups], dtype=np.int64)


def _out_of_fold(matrix: Floats, labels: Labels, folds: Labels, categorical: list[bool]) -> Floats:
    """The rank of each row's prediction within its fold, from 0 to 1, as models have different means."""
    from scipy import stats

    ranks = np.empty(labels.size)
    with one_thread():
        for fold in range(FOLDS):
            out = folds == fold
            model = _model(categorical).fit(matrix[~out], labels[~out])
            ranks[out] = stats.rankdata(model.predict_proba(matrix[out])[:, 1]) / (out.sum() + 1)
    return ranks


def _model(categorical: list[bool]) -> "ClassifierMixin":
    """Small trees: bounded in time, without scaling, and nulls and categories as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=20,
        learning_rate=0.2,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        max_bins=64,
        early_stopping=False,
        categorical_features=categorical,
        random_state=SEED,
    )


def _matrix(columns: Columns) -> Floats:
    """Shape (rows, columns): numbers, and the places of text by its frequency; rare text is null."""
    return np.column_stack([_codes(each) if each.dtype == object else _finite(each) for each in columns.values()])


def _finite(values: NDArray[Any]) -> Floats:
    return np.asarray(np.clip(values.astype(np.float64), -LARGEST, LARGEST))


def _codes(values: NDArray[Any]) -> Floats:
    import pandas as pd

    places = pd.Series(values).value_counts(sort=True).index[: MAX_CATEGORIES // 2].get_indexer(pd.Index(values))
    return np.where(places < 0, np.nan, places).astype(np.float64)
