"""All figures of one version in one window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from asof.settings import Settings
from asof.targets import Multiclass
from asof.use_case import UseCase
from monitoring.measuring.census import AnsweringModel, Count
from monitoring.measuring.inputs import count_inputs
from monitoring.measuring.training import Training
from monitoring.measuring.values import stream_values
from monitoring.measuring.version_window import VersionWindow
from monitoring.measuring.volume import maturity_figures, volume_figures
from monitoring.outcomes.matured import JoinedOutcomes
from monitoring.records.figure import Figure
from monitoring.statistics.drift import drift
from monitoring.statistics.measured import Measured
from monitoring.statistics.performance import performance
from monitoring.statistics.score_shift import score_shift
from training.metrics.classification import Floats
from training.models.evaluation.reference import Reference
from training.targets import rules_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VersionRows:
    """What a version answered in a window.

    `outcomes` are its predictions with what came of them, `trained` is what they are compared with.
    """

    of: VersionWindow
    models: Sequence[AnsweringModel]
    counts: Sequence[Count]
    outcomes: JoinedOutcomes
    trained: Training


def version_figures(
    settings: Settings, use_case: UseCase, rows: VersionRows, *, overdue: bool, known_at: datetime
) -> Iterator[Figure]:
    """Volume and maturity, then what the statistics say of inputs, scores and outcomes.

    Without a reference there is nothing to compare inputs and scores with: performance alone is told.
    """
    bounds, reference = use_case.monitoring, rows.trained.reference
    nulls = {name: number / reference.rows for name, number in reference.missing.items()} if reference else {}
    yield from volume_figures(rows.of, rows.counts, nulls=nulls, margin=bounds.missing, min_rows=bounds.min_rows)
    yield from maturity_figures(rows.of, rows.outcomes.tally, overdue=overdue)
    measured = [*_of_outcomes(use_case, rows)]
    if reference:
        measured += _of_inputs(settings, use_case, rows, reference, known_at)
        measured += _of_scores(use_case, rows, reference)
    for each in measured:
        yield each.figure(rows.of.as_of, rows.of.version)


def _of_inputs(
    settings: Settings, use_case: UseCase, rows: VersionRows, reference: Reference, known_at: datetime
) -> list[Measured]:
    tables = stream_values(settings, use_case, rows.of, models=rows.models, known_at=known_at)
    return drift(reference.features, count_inputs(tables, reference.features).counts)


def _of_scores(use_case: UseCase, rows: VersionRows, reference: Reference) -> list[Measured]:
    frame = rows.outcomes.frame
    if frame.empty:
        return []
    thresholds = frame["threshold"].dropna()
    threshold = float(thresholds.iloc[-1]) if len(thresholds) else None
    return score_shift(reference.scores, predictions_of(use_case, frame), threshold)


def _of_outcomes(use_case: UseCase, rows: VersionRows) -> Iterator[Measured]:
    mature = rows.outcomes.mature
    mature = mature[mature["score"].notna() | mature["scores"].notna()]  # those of erased entities are gone
    if mature.empty:
        return
    rules = rules_of(use_case.target)
    labels, predictions = rules.encode(mature["outcome"]), predictions_of(use_case, mature)
    promotion = rows.trained.promotion
    yield from performance(rules, labels, predictions, promotion=promotion, bounds=use_case.gate)


def predictions_of(use_case: UseCase, frame: "pd.DataFrame") -> Floats:
    """Those of joined outcomes, shape (rows,), or (rows, classes) of several classes; NaN where there are none."""
    if not isinstance(use_case.target, Multiclass):
        scores: Floats = frame["score"].to_numpy(dtype=np.float64)
        return scores
    gone: list[Any] = [float("nan")] * len(use_case.target.classes)
    return np.array([each if isinstance(each, list) else gone for each in frame["scores"]], dtype=np.float64)
