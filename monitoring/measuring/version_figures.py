"""All figures of one version in one window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asof.use_case import UseCase
from monitoring.measuring.census import AnsweringModel, Count
from monitoring.measuring.version_window import VersionWindow
from monitoring.measuring.volume import maturity_figures, volume_figures
from monitoring.outcomes.matured import JoinedOutcomes
from monitoring.records.figure import Figure


@dataclass(frozen=True)
class VersionRows:
    """What a version answered in a window; `outcomes` are its predictions with what came of them."""

    of: VersionWindow
    models: Sequence[AnsweringModel]
    counts: Sequence[Count]
    outcomes: JoinedOutcomes


def version_figures(use_case: UseCase, rows: VersionRows, *, overdue: bool) -> Iterator[Figure]:
    """Volume and maturity, then what the statistics say of inputs, scores and outcomes."""
    bounds = use_case.monitoring
    yield from volume_figures(rows.of, rows.counts, nulls={}, margin=bounds.missing, min_rows=bounds.min_rows)
    yield from maturity_figures(rows.of, rows.outcomes.tally, overdue=overdue)
