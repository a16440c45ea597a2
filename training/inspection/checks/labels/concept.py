"""Two months with labels -> concept drift: last month's model on this month's entities."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from asof.extracts.cadence import moment_text
from asof.extracts.schema import Kind
from asof.model_facts import Split
from training.features.datasets.split import held_out
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair
from training.metrics.classification import Estimate
from training.metrics.statistics import ALARM
from training.one_thread import one_thread
from training.targets.rules import Labels

RowNumbers = NDArray[np.int64]

SPLIT = Split(0.25)
MAX_ROWS = 10_000
"""Rows on each side of the split."""
MAX_LEVELS = 50
MIN_PER_CLASS = 30


@dataclass(frozen=True)
class QualityChange:
    """How good last month's model is on held-out entities of last month and of this month (`Rules.quality`).

    `title` and `figure` name it, of two classes the AUC; `error` is the standard error of the difference, `drop` the
    loss from which a significant one is a finding.
    """

    before: Estimate
    after: Estimate
    error: float
    title: str
    figure: str
    drop: float

    @property
    def loss(self) -> float:
        return self.before.value - self.after.value

    @property
    def p_value(self) -> float:
        """The probability of such a loss if the concept has not changed."""
        return float(stats.norm.sf(self.loss / self.error)) if self.error > 0 else 1.0


def quality_change(pair: Pair) -> QualityChange | None:
    """Fits a quick model on last month's entities, and scores the held-out ones of both months.

    An entity is on the same side in both months. The months are treated as independent samples, as many entities have a
    label in one of them only; for the others the interval is wider than it need be. None without enough labels of each
    outcome on each side.
    """
    months = [month for month in (pair.before, pair.after) if month.label]
    sides = [_sides(month) for month in months]
    labels = [[_labels(month, rows) for rows in side] for month, side in zip(months, sides, strict=True)]
    if len(months) < 2 or not all(_enough(pair, each) for side in labels for each in side):
        return None
    rules = pair.after.rules
    fit_on = sides[0][0]
    columns = _columns(pair, fit_on)
    with one_thread():
        model = rules.quick_model().fit(_inputs(pair.before, fit_on, columns), labels[0][0])
        scores = [
            rules.predictions(model, _inputs(month, rows, columns))
            for month, (_, rows) in zip(months, sides, strict=True)
        ]
    before, after = (rules.quality(held_out, score) for (_, held_out), score in zip(labels, scores, strict=True))
    error = float(np.linalg.norm([before.error, after.error]))
    return QualityChange(before.estimate, after.estimate, error, before.title, before.figure, before.drop)


def _enough(pair: Pair, labels: Labels) -> bool:
    """Whether enough labels have each outcome, and have it not."""
    events = pair.after.rules.events(labels) if labels.size else []
    return bool(events) and min(min(each.sum(), (~each).sum()) for each in events) >= MIN_PER_CLASS


def concept_change(pair: Pair) -> list[Finding]:
    """`concept:` last month's model is significantly worse on this month's held-out entities than on last month's."""
    change = quality_change(pair)
    if change is None or change.loss < change.drop or change.p_value > ALARM:
        return []
    before, after = change.before, change.after
    return [
        Finding(
            f"concept:{pair.after.label}",
            Severity.WARNING,
            f"A model of {moment_text(pair.before.as_of)} has {change.title} of {before.value:.3f} "
            f"({before.low:.3f} to {before.high:.3f}) on its own held-out users and of {after.value:.3f} "
            f"({after.low:.3f} to {after.high:.3f}) on those of {moment_text(pair.after.as_of)}: the concept has "
            "changed, or the labels are defined differently.",
            "Train on the newest labels alone and promote it soon; first make sure that its labels are right.",
            {
                f"{change.figure}_before": before.value,
                f"{change.figure}_after": after.value,
                "standard_error": change.error,
                "before_low": before.low,
                "before_high": before.high,
                "after_low": after.low,
                "after_high": after.high,
            },
        )
    ]


def _sides(month: Month) -> tuple[RowNumbers, RowNumbers]:
    """The labelled rows to fit on and those held out; at most MAX_ROWS each, evenly spaced."""
    rows = np.flatnonzero(~np.isnan(month.encoded_labels()))
    rows = rows[:: max(1, int(rows.size * SPLIT.share) // MAX_ROWS)]
    out = held_out(month.frame.index[rows].to_series(), None, SPLIT)
    return rows[~out][:: max(1, int((~out).sum()) // MAX_ROWS)], rows[out]


def _labels(month: Month, rows: RowNumbers) -> Labels:
    return month.rules.encode(month.frame[str(month.label)].iloc[rows])


def _columns(pair: Pair, fit_on: RowNumbers) -> list[str]:
    """Feature columns without dates, texts of many levels, and columns that are empty in the rows to fit on."""
    few = [name for name in pair.features(Kind.TEXT) if len(pair.before.levels(name)) <= MAX_LEVELS]
    columns = [*pair.features(Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER), *few]
    return [name for name in columns if pair.before.frame[name].iloc[fit_on].notna().any()]


def _inputs(month: Month, rows: RowNumbers, columns: list[str]) -> pd.DataFrame:
    """Shape (rows, columns). The model treats unknown levels as missing."""
    return month.frame[columns].iloc[rows]
