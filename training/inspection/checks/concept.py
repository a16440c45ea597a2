"""Two months with labels -> whether what was true last month still is: last month's model on this month's users."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from asof.extract_schema import Kind
from asof.model_facts import Split
from training.features.datasets.split import held_out
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair
from training.metrics.classification import Labels, auc_estimate
from training.metrics.statistics import ALARM, auc_error
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Places = NDArray[np.int64]

SPLIT = Split(0.25)
MOST_ROWS = 10_000
"""Rows to fit on, and again to score: enough to see what matters."""
MOST_LEVELS = 50
FEWEST_OF_A_CLASS = 30
LARGE_DROP = 0.05
"""An AUC lower by this much is a change that matters."""


@dataclass(frozen=True)
class Carried:
    """The AUC of last month's model on held-out users of last month and of this one, with 95 % intervals.

    `error` is the standard error of the difference.
    """

    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    error: float

    @property
    def p_value(self) -> float:
        """The chance of such a loss where the concept has not changed."""
        return float(stats.norm.sf((self.before - self.after) / self.error)) if self.error > 0 else 1.0


def carried_over(pair: Pair) -> Carried | None:
    """Fits a quick model on last month's users and scores those held out from it, in both months.

    The users are on the same side in both months. Each month is a sample by itself: a user who leaves has a label once
    and is not there to be paired, and where users are in both months their scores make the difference surer than the
    interval says. None without labels of both classes on each side.
    """
    months = [month for month in (pair.before, pair.after) if month.label]
    sides = [_sides(month) for month in months]
    if len(months) < 2 or not all(_both_classes(*each) for each in zip(months, sides, strict=True)):
        return None
    fit_on = sides[0][0]
    columns = _columns(pair, fit_on)
    with one_thread():
        model = _model().fit(_inputs(pair.before, fit_on, columns), _labels(pair.before, fit_on))
        scores = [
            model.predict_proba(_inputs(month, rows, columns))[:, 1]
            for month, (_, rows) in zip(months, sides, strict=True)
        ]
    labels = [_labels(month, rows) for month, (_, rows) in zip(months, sides, strict=True)]
    before, after = (auc_estimate(*each) for each in zip(labels, scores, strict=True))
    errors = [auc_error(auc.value, *np.bincount(of)) for auc, of in zip((before, after), labels, strict=True)]
    return Carried(
        before.value,
        after.value,
        (before.low, before.high),
        after_interval=(after.low, after.high),
        error=float(np.linalg.norm(errors)),
    )


def concept_change(pair: Pair) -> list[Finding]:
    """`concept:` last month's model knows this month's held-out users clearly worse than last month's."""
    found = carried_over(pair)
    if found is None or found.before - found.after < LARGE_DROP or found.p_value > ALARM:
        return []
    return [
        Finding(
            f"concept:{pair.after.label}",
            Severity.WARNING,
            f"A model of {pair.before.as_of.date()} has an AUC of {found.before:.3f} on its own held-out users "
            f"({found.before_interval[0]:.3f} to {found.before_interval[1]:.3f}) and of {found.after:.3f} on those of "
            f"{pair.after.as_of.date()} ({found.after_interval[0]:.3f} to {found.after_interval[1]:.3f}): the concept "
            "has changed, or the labels are not what they were.",
            "Train on the newest month alone and promote it soon; first make sure that its labels are right.",
            {
                "auc_before": found.before,
                "auc_after": found.after,
                "standard_error": found.error,
                "before_low": found.before_interval[0],
                "before_high": found.before_interval[1],
                "after_low": found.after_interval[0],
                "after_high": found.after_interval[1],
            },
        )
    ]


def _both_classes(month: Month, sides: tuple[Places, Places]) -> bool:
    counts = [np.bincount(_labels(month, rows), minlength=2).min() for rows in sides]
    return bool(min(counts) >= FEWEST_OF_A_CLASS)


def _sides(month: Month) -> tuple[Places, Places]:
    """Places of the labelled rows, those to fit on and those held out; at most MOST_ROWS each, evenly spaced."""
    rows = np.flatnonzero(~np.isnan(month.numbers(str(month.label))))
    rows = rows[:: max(1, int(rows.size * SPLIT.share) // MOST_ROWS)]
    out = held_out(month.frame.index[rows].to_series(), _labels(month, rows), SPLIT)
    return rows[~out][:: max(1, int((~out).sum()) // MOST_ROWS)], rows[out]


def _labels(month: Month, rows: Places) -> Labels:
    return month.numbers(str(month.label))[rows].astype(np.int64)


def _columns(pair: Pair, fit_on: Places) -> list[str]:
    """A text of many levels is left out, dates (they move by themselves), and what is empty where the model learns."""
    few = [name for name in pair.features(Kind.TEXT) if len(pair.before.levels(name)) <= MOST_LEVELS]
    columns = [*pair.features(Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER), *few]
    return [name for name in columns if pair.before.frame[name].iloc[fit_on].notna().any()]


def _inputs(month: Month, rows: Places, columns: list[str]) -> pd.DataFrame:
    """Shape (rows, columns); a level that the model has not seen counts as missing to it."""
    return month.frame[columns].iloc[rows]


def _model() -> "HistGradientBoostingClassifier":
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, early_stopping=False, categorical_features="from_dtype", random_state=0
    )
