"""Which windows have something new since the last run: their states then and now.

A state is counted, not dated: a row that was shipped late, an outcome, a load of labels change it whenever they come.
So does the end of a horizon.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString, Self

import psycopg

from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.measuring.census import Census
from monitoring.measuring.periods import window_ends
from training.data.snapshots.owned_tables import table_exists

LOADS: LiteralString = """
SELECT as_of, count(*) FROM public.loads, jsonb_object_keys(files) AS each (file)
WHERE split_part(file, '.', 1) = %s AND known_at <= %s GROUP BY 1"""
COMPLETED: LiteralString = """
SELECT target_as_of, count(*) FROM ledger.complete_outcomes WHERE use_case = %s AND created_at <= %s GROUP BY 1"""

Counts = Mapping[datetime, int]


@dataclass(frozen=True)
class WindowState:
    """What a window's figures are computed from.

    `labels`: loads of its labels and declarations that its outcomes are complete. `ended`: its horizon is over;
    `overdue`: so long that its outcomes ought to be complete.
    """

    rows: int
    outcomes: int = 0
    labels: int = 0
    ended: bool = False
    overdue: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**data)


States = Mapping[datetime, WindowState]


def states_now(settings: Settings, use_case: UseCase, census: Census, known_at: datetime) -> States:
    """The state of each window that has answers, the oldest first."""
    if not census.rows:
        return {}
    labels = _labels(settings, use_case, known_at) if isinstance(use_case.source, FromStore) else {}
    return {
        as_of: WindowState(
            rows,
            _within(use_case, as_of, census.outcomes),
            _within(use_case, as_of, labels),
            ended=is_over(use_case, as_of, known_at),
            overdue=is_over(use_case, as_of, known_at - use_case.monitoring.overdue),
        )
        for as_of, rows in census.rows.items()
    }


def is_over(use_case: UseCase, as_of: datetime, now: datetime) -> bool:
    """Whether the outcomes of a window can be known; never where there is no horizon."""
    if not isinstance(use_case.source, FromStore):
        return False
    return now >= use_case.extract.cadence.labels_known(window_ends(use_case, as_of)[1])


def due(before: States, now: States) -> list[datetime]:
    """The windows whose state changed. One with fewer rows is not: they were moved to the archive."""
    return [as_of for as_of, state in now.items() if as_of not in before or _is_newer(before[as_of], state)]


def archived(before: States, now: States) -> list[datetime]:
    """The windows that have fewer rows than at the last run."""
    return [as_of for as_of, state in before.items() if as_of not in now or now[as_of].rows < state.rows]


def states_to_keep(before: States, now: States, computed: Sequence[datetime]) -> dict[str, Any]:
    """The states for `monitor_runs.detail`: of what was computed as it is now, of the rest as it was."""
    kept = {**before, **{as_of: now[as_of] for as_of in computed}}
    return {as_of.isoformat(): asdict(state) for as_of, state in sorted(kept.items())}


def states_of(detail: Mapping[str, Any]) -> States:
    """The states that a run kept."""
    states = detail.get("windows", {})
    return {datetime.fromisoformat(as_of): WindowState.from_dict(state) for as_of, state in states.items()}


def _is_newer(before: WindowState, now: WindowState) -> bool:
    return now != before and now.rows >= before.rows


def _labels(settings: Settings, use_case: UseCase, known_at: datetime) -> Counts:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        counts: dict[datetime, int] = dict(connection.execute(COMPLETED, (use_case.name, known_at)).fetchall())
    with psycopg.connect(settings.conninfo()) as connection:
        if table_exists(connection, "public.loads"):
            for as_of, loads in connection.execute(LOADS, (use_case.extract.labels.name, known_at)):
                counts[as_of] = counts.get(as_of, 0) + loads
    return {as_of.astimezone(UTC): number for as_of, number in counts.items()}


def _within(use_case: UseCase, as_of: datetime, counts: Counts) -> int:
    first, last = window_ends(use_case, as_of)
    return sum(number for moment, number in counts.items() if first <= moment <= last)
