"""The figures of a use case: of the windows that have something new, for each version that answered in them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import Any

import psycopg

from asof.errors import DataError, HistoryError
from asof.extracts.cadence import moment_text
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.measuring.census import Census, Count, take_census
from monitoring.measuring.periods import window_ends
from monitoring.measuring.training import training_of
from monitoring.measuring.version_figures import VersionRows, version_figures
from monitoring.measuring.windows import States, archived, due, states_now, states_to_keep
from monitoring.outcomes.matured import JoinedOutcomes, join_outcomes
from monitoring.records.figure import Figure, VersionWindow

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """The figures of one run.

    `windows` were computed, the oldest first; `archived` are those whose answers were moved to files since the last
    run, so their figures stay. `answers`: how many rows were read. `states` is what the next run compares with.
    """

    figures: Sequence[Figure]
    windows: Sequence[datetime]
    archived: Sequence[datetime]
    answers: int
    known_at: datetime
    states: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which windows: those with something new since the states `before`, all, or the one of `as_of`."""

    before: States
    all: bool = False
    as_of: datetime | None = None

    def chosen(self, now: States) -> list[datetime]:
        """The windows. Raises DataError where there are no answers of `as_of`."""
        if self.as_of is None:
            kept = archived(self.before, now)
            return [each for each in now if each not in kept] if self.all else due(self.before, now)
        if self.as_of not in now:
            known = ", ".join(map(moment_text, now)) or "none"
            raise DataError(f"The ledger has no answers as of {moment_text(self.as_of)}; it has: {known}.")
        if self.as_of in archived(self.before, now):
            raise DataError(f"Answers as of {moment_text(self.as_of)} were moved to the archive: its figures stay.")
        return [self.as_of]


def measure(
    settings: Settings, use_case: UseCase, wanted: Wanted, known_at: datetime | None = None, progress: Progress = print
) -> Measured:
    """Reads the ledger, labels and outcomes up to `known_at` (default: now). Raises HistoryError for a future one."""
    known_at = _known_at(settings, known_at)
    census = take_census(settings, use_case, known_at)
    now = states_now(settings, use_case, census, known_at)
    windows = wanted.chosen(now)
    trained = cache(partial(training_of, settings))
    figures: list[Figure] = []
    for number, as_of in enumerate(windows, 1):
        progress(f"{moment_text(as_of)}: window {number} of {len(windows)}")
        joined = join_outcomes(settings, use_case, *window_ends(use_case, as_of), known_at=known_at)
        for of, counts in _versions(census, as_of):
            models = [each for each in census.models if each.name == of.version]
            outcomes, kept = _of_version(joined, of.version), trained(models[-1].run_id)
            rows = VersionRows(settings, use_case, of, models=models, counts=counts, outcomes=outcomes, trained=kept)
            figures += version_figures(rows, overdue=now[as_of].overdue)
    return Measured(
        figures,
        windows,
        archived(wanted.before, now),
        answers=sum(now[as_of].rows for as_of in windows),
        known_at=known_at,
        states=states_to_keep(wanted.before, now, windows),
    )


def _versions(census: Census, as_of: datetime) -> Iterator[tuple[VersionWindow, Sequence[Count]]]:
    for version, counts in sorted(census.of(as_of).items()):
        yield VersionWindow(version, as_of), counts


def _of_version(joined: JoinedOutcomes, version: str) -> JoinedOutcomes:
    """The rows of one version; one without a number is named by its run."""
    ours = joined.frame["version"].fillna(joined.frame["run_id"]) == version
    return replace(joined, frame=joined.frame[ours].reset_index(drop=True))


def _known_at(settings: Settings, known_at: datetime | None) -> datetime:
    """By the clock of the ledger, which dates outcomes."""
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        ((now,),) = connection.execute("SELECT clock_timestamp()")
    if known_at and known_at > now:
        raise HistoryError(f"known_at {moment_text(known_at)} lies in the future: give a moment up to now.")
    moment: datetime = known_at or now
    return moment
