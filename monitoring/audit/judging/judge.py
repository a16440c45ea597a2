"""Served values of one view and the rows of its entities -> what each value turned out to be, as arrays.

No I/O, no clock. Moments are microseconds since 1970. Of the rows of an entity, those that the online store could hold
at T are accepted: known at T, and no newer row was due. So an answer during a refresh may have the old row or the new.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from monitoring.audit.findings import SERVED, Finding
from monitoring.audit.reading.rows import LATER, Column, ViewRows
from monitoring.audit.reading.served import NEVER, Flags, Moments, ServedValues

Places = NDArray[np.int64]
"""Of rows, by answer; -1: none."""
CODES: Mapping[Finding, int] = {finding: number for number, finding in enumerate(SERVED)}
NOT_AUDITED = -1


@dataclass(frozen=True)
class Asked:
    """n answers: the entities' codes in the view's rows, and when they were given. `now` is the moment of the audit.

    `clock` is the moment that the services take as now (LATER: the time of each answer). Their clocks and PostgreSQL's
    may differ by `skew` microseconds.
    """

    entities: NDArray[np.int64]
    at: Moments
    now: int
    clock: int = LATER
    skew: int = 0

    @cached_property
    def as_of(self) -> Moments:
        """The newest moment that a value may have had."""
        return np.minimum(self.at, self.clock)


@dataclass(frozen=True)
class Judged:
    """By answer: the code of its finding (NOT_AUDITED), and the row that tells it (-1: none).

    `row` is the accepted row of SAME, the later one of LATE_DATA, the one that was due of STORE_BEHIND, and that of the
    value's moment of SERVING_BUG. `refreshing`: the value is right, and a newer one was on its way.
    """

    findings: NDArray[np.int8]
    row: Places
    refreshing: Flags


class ViewJudge:
    """The rows of a view as they were at each answer."""

    def __init__(self, rows: ViewRows, asked: Asked) -> None:
        self.rows, self.asked = rows, asked
        due = np.where(rows.moments > asked.clock, LATER, rows.due)
        known = np.maximum(rows.known, rows.moments)
        self.due = _newest(rows, due, asked, asked.at)
        """The newest row that had to be online; an older one is not accepted."""
        self.known = _newest(rows, np.where(rows.moments > asked.clock, LATER, known), asked, asked.at)
        """The newest row that was known."""
        self.snapshot = np.minimum(_newest_snapshot(rows, asked), asked.as_of)
        """The newest moment of which the view had rows; NEVER before the first."""

    def judge(self, served: ServedValues) -> Judged:
        """The findings of one feature."""
        rows, asked, moments = self.rows, self.asked, served.moments
        absent, same_moment = moments == NEVER, _Group.of(rows, asked.entities, moments)
        right, older, later, there = (np.zeros(len(moments), dtype=bool) for _ in range(4))
        row, own = np.full(len(moments), -1), np.full(len(moments), -1)
        for place, has in same_moment.places():
            same = has & equal(served, rows.columns[served.name], place)
            known = has & (rows.known[place] - asked.skew <= asked.at)
            accepted = known & (rows.order[place] >= self._order(self.due))
            right |= same & accepted
            older |= same & known & ~accepted
            later |= same & ~known
            there |= known
            row, own = np.where(known, place, row), np.where(same & accepted, place, own)
        ahead = moments > asked.as_of + asked.skew
        conditions = [absent & (self.due >= 0), absent, ahead, right, older, later, there]
        codes = [np.int8(CODES[each]) for each in ORDER]
        findings = np.select(conditions, codes, np.int8(CODES[Finding.UNKNOWN_VALUE]))
        row = np.where(findings == CODES[Finding.STORE_BEHIND], self.due, row)
        refreshing = right & (self._order(self.known) > self._order(own))
        findings, row = self._late(served, findings, row)
        findings[served.overridden] = NOT_AUDITED
        return Judged(findings, row, refreshing & (findings == CODES[Finding.SAME]))

    def _late(self, served: ServedValues, findings: NDArray[np.int8], row: Places) -> tuple[NDArray[np.int8], Places]:
        """What was right, and is not any more."""
        rows, asked = self.rows, self.asked
        if not len(rows):
            return findings, row
        limit = np.maximum(self.snapshot, served.moments)
        visible = np.where(rows.known > asked.now + asked.skew, LATER, rows.moments)
        newest = _newest(rows, visible, asked, limit)
        differs = (newest >= 0) & (findings == CODES[Finding.SAME]) & (rows.known[newest] > asked.at + asked.skew)
        for place, has in _Group.of(rows, asked.entities, np.where(newest >= 0, rows.moments[newest], NEVER)).places():
            tied = has & (rows.order[place] == rows.order[newest])
            differs &= ~(tied & equal(served, rows.columns[served.name], place))
        late = findings.copy()
        late[differs] = CODES[Finding.LATE_DATA]
        return late, np.where(differs, newest, row)

    def _order(self, place: Places) -> NDArray[np.int64]:
        """The places of rows in the order of all; -1: before all."""
        if not len(self.rows):
            return np.full(len(place), -1)
        return np.where(place >= 0, self.rows.order[place], -1)


ORDER = (
    Finding.STORE_BEHIND,
    Finding.SAME,
    Finding.FUTURE_VALUE,
    Finding.SAME,
    Finding.STORE_BEHIND,
    Finding.FUTURE_VALUE,
    Finding.SERVING_BUG,
)
"""Of the conditions in `ViewJudge.judge`, the first that holds counts."""


@dataclass(frozen=True)
class _Group:
    """By answer the rows of its entity and one moment, several where it was corrected: from `first` up to `end`."""

    first: Places
    end: Places

    @classmethod
    def of(cls, rows: ViewRows, entities: NDArray[np.int64], moments: Moments) -> "_Group":
        every, own = _keys(rows.entities, rows.moments, entities, moments, exact=True)
        return cls(np.searchsorted(every, own, "left"), np.searchsorted(every, own, "right"))

    def places(self) -> Iterator[tuple[Places, Flags]]:
        """The first row of each answer, the second, and so on; and which answers have it (else 0 stands there)."""
        for number in range(int((self.end - self.first).max(initial=0))):
            has = self.first + number < self.end
            yield np.where(has, self.first + number, 0), has


def _newest(rows: ViewRows, since: Moments, asked: Asked, at: Moments) -> Places:
    """By answer the newest of its entity's rows that hold `since` a moment up to `at`; -1: none."""
    if not len(rows):
        return np.full(len(at), -1)
    place = np.lexsort((since, rows.entities))
    every, own = _keys(rows.entities[place], since[place], asked.entities, at)
    newest = np.maximum.accumulate(place)  # the rows of a later entity are newer
    found = np.searchsorted(every, own, "right") - 1
    has = (found >= 0) & (rows.entities[place][found] == asked.entities)
    return np.where(has, newest[found], -1)


def _keys(
    entities: NDArray[np.int64], times: Moments, of: NDArray[np.int64], at: Moments, *, exact: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Entity and time of rows and of answers as single numbers in the same order; `exact`: unknown times match none."""
    distinct = np.unique(times)
    rank = np.searchsorted(distinct, at, "right")
    if exact and len(distinct):
        rank = np.where(distinct[rank - 1] == at, rank, 0)
    width = len(distinct) + 1
    return entities * width + np.searchsorted(distinct, times) + 1, of * width + rank


def _newest_snapshot(rows: ViewRows, asked: Asked) -> Moments:
    """By answer the newest moment of which the view's table had rows; NEVER before the first.

    From the loads of the table; without any, as it is used in place, from the rows of the audited entities.
    """
    known, moments = np.maximum(rows.known, rows.moments), rows.moments
    if rows.loads:
        known = np.array([max(each.loaded_at, each.known_at) for each in rows.loads])
        moments = np.array([each.as_of for each in rows.loads])
    timely = moments <= asked.clock
    known, moments = known[timely], moments[timely]
    if not len(known):
        return np.full(len(asked.at), NEVER)
    place = np.argsort(known, kind="stable")
    found = np.searchsorted(known[place], asked.at, "right") - 1
    return np.where(found >= 0, np.maximum.accumulate(moments[place])[found], NEVER)


def equal(served: ServedValues, column: Column, place: Places) -> Flags:
    """Whether each value is that of a row: two nulls are equal; a Float32 is compared as the store rounds it."""
    values, theirs = served.values, column.values[place]
    if served.type == "Float32":
        values, theirs = values.astype(np.float32), theirs.astype(np.float32)
    nulls = column.nulls[place]
    same: Flags = np.where(served.nulls | nulls, served.nulls & nulls, values == theirs).astype(bool)
    return same
