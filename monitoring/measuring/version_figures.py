"""All figures of one version in one window."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.measuring.census import AnsweringModel, Count
from monitoring.measuring.inputs import Inputs, column_values, count_inputs
from monitoring.measuring.judged_outcomes import JudgedOutcomes, predictions_of
from monitoring.measuring.training import Training
from monitoring.measuring.values import stream_values
from monitoring.measuring.volume import maturity_figures, volume_figures
from monitoring.outcomes.matured import JoinedOutcomes
from monitoring.records.figure import Figure, VersionWindow
from monitoring.statistics.calibration import calibration
from monitoring.statistics.drift import drift
from monitoring.statistics.estimated_performance import estimated_performance
from monitoring.statistics.joint_shift import joint_shift
from monitoring.statistics.measured import Measured
from monitoring.statistics.performance import performance
from monitoring.statistics.score_shift import score_shift
from monitoring.statistics.slices import slices
from training.models.evaluation.reference import Reference


@dataclass(frozen=True)
class VersionRows:
    """What a version answered in a window, and what that is compared with.

    `counts` are its rows, `outcomes` its predictions with what came of them, `trained` is what its run kept.
    """

    settings: Settings
    use_case: UseCase
    of: VersionWindow
    models: Sequence[AnsweringModel]
    counts: Sequence[Count]
    outcomes: JoinedOutcomes
    trained: Training

    @property
    def reference(self) -> Reference:
        """Of the training; empty where its run has kept none."""
        return self.trained.reference or Reference(0, {}, {}, {})

    @cached_property
    def judged(self) -> JudgedOutcomes:
        """Its mature predictions."""
        return JudgedOutcomes.of(self.use_case, self.outcomes.mature)

    @cached_property
    def inputs(self) -> Inputs:
        """The values behind its answers, up to the moment of `outcomes`."""
        known_at = self.outcomes.known_at
        tables = stream_values(self.settings, self.use_case, self.of, models=self.models, known_at=known_at)
        with closing(tables):  # their connection, also where the traceback of an error keeps the generator
            return count_inputs(tables, self.reference.features, keep=[*self.reference.slices])


def version_figures(rows: VersionRows, *, overdue: bool) -> Iterator[Figure]:
    """Volume and maturity, then what the statistics say of inputs, scores and outcomes.

    What its run has not kept is not compared: without a reference there are neither shifts nor slices.
    """
    bounds, reference = rows.use_case.monitoring, rows.reference
    nulls = {name: number / reference.rows for name, number in reference.missing.items()}
    yield from volume_figures(rows.of, rows.counts, nulls=nulls, margin=bounds.missing, min_rows=bounds.min_rows)
    yield from maturity_figures(rows.of, rows.outcomes.tally, overdue=overdue)
    for each in (*_of_inputs(rows), *_of_scores(rows), *_of_outcomes(rows)):
        yield each.figure(rows.of.as_of, rows.of.version)


def _of_inputs(rows: VersionRows) -> list[Measured]:
    bounds, reference = rows.use_case.monitoring, rows.reference
    if not reference.features or not rows.inputs.counts:
        return []
    return [*drift(reference.features, rows.inputs.counts, bounds), *_joint_shift(rows)]


def _joint_shift(rows: VersionRows) -> list[Measured]:
    before, sample = rows.trained.columns, rows.inputs.sample
    if before is None or sample is None or not {*before.values} <= {*sample.column_names}:
        return []
    now = {name: column_values(sample[name]) for name in before.values}
    entities = (before.entities, column_values(sample["entity"]))
    return joint_shift(before.values, now, entities=entities, bounds=rows.use_case.monitoring)


def _of_scores(rows: VersionRows) -> list[Measured]:
    frame, reference = rows.outcomes.frame, rows.reference
    if frame.empty or not reference.scores:
        return []
    scores, thresholds = predictions_of(rows.use_case, frame), frame["threshold"].dropna()
    threshold = float(thresholds.iloc[-1]) if len(thresholds) else None
    shift = score_shift(reference.scores, scores, threshold, bounds=rows.use_case.monitoring)
    return shift + estimated_performance(scores, reference.recalibrations)


def _of_outcomes(rows: VersionRows) -> list[Measured]:
    judged, reference, bounds = rows.judged, rows.reference, rows.use_case.gate
    if not judged.labels.size:
        return []
    outcomes = (judged.rules, judged.labels, judged.predictions)
    found = performance(*outcomes, promotion=rows.trained.promotion, bounds=bounds)
    found += calibration(*outcomes, promotion=reference.reliability, bounds=bounds)
    return found + (_slices(rows, judged) if reference.slices else [])


def _slices(rows: VersionRows, judged: JudgedOutcomes) -> list[Measured]:
    columns = rows.inputs.of(judged.answers)
    return slices(
        judged.rules,
        {name: bins for name, bins in rows.reference.slices.items() if name in columns},
        columns,
        labels=judged.labels,
        predictions=judged.predictions,
        promotion=rows.reference.slice_estimates,
        bounds=rows.use_case.gate,
    )
