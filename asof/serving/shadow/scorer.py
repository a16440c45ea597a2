"""Scorer: kept answers -> shadow scores in the spool, within the budget, unless the breaker is open.

What is claimed in the state before a call and is still claimed at the next start, the process did not survive. So an
answer has at most one shadow score, and each one without is counted.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asof.inference.served_model import scored
from asof.ledger.spool.frames import encode
from asof.ledger.spool.shadow_frames import CRASHED, FAILED, encode_scores
from asof.ledger.spool.writer import Describes, Spool
from asof.serving.shadow.challenger import Challenger
from asof.serving.shadow.limits.breaker import MAX_BAD
from asof.serving.shadow.limits.budget import Budget
from asof.serving.shadow.limits.watchdog import watched
from asof.serving.shadow.rows import Rows, columns, sampled
from asof.serving.shadow.state import Dropped, State, Status
from asof.serving.shadow.tail import Kept, Tail
from asof.settings import Settings

MAX_FAILED = 0.5
"""The share of the rows of a call from which it is bad."""

WITHOUT: Mapping[str, Dropped] = {
    Status.STARTING: Dropped.STARTING,
    Status.REFUSED: Dropped.REFUSED,
    Status.PAUSED: Dropped.PAUSED,
}
"""Why answers are dropped while no challenger is loaded; while there is none, they are not counted."""


class Scorer:
    """One for the process. `save()` writes the state; `slow` are the seconds of a processor that a row may take.

    `misfit` says what the latest answers lacked for the challenger.
    """

    def __init__(self, settings: Settings, state: State, *, slow: float, save: Callable[[], None]) -> None:
        self._state, self._slow, self._save = state, slow, save
        self._spool = Spool(settings.ledger_folder, settings.ledger_spool_bytes // 2)
        self.budget = Budget(settings.shadow_share)
        self.misfit = ""

    def recover(self, tail: Tail) -> None:
        """Counts what the process before did not survive, and lets the breaker open."""
        state = self._state
        if state.claimed:
            described = _Described(state.describes["id"], encode({"describes": state.describes}))
            for segment, start, places in state.claimed:
                if kept := tail.at(segment, start):
                    rows = Rows(kept, np.array(places, dtype=np.int64))
                    self._append(described, rows, [None] * len(rows), [None] * len(rows), CRASHED)
                else:  # shipped and deleted: they are counted alone
                    state.failed += len(places)
        if state.claimed or state.trying:
            self._bad(f"its process ended while it {'scored' if state.claimed else 'was loaded'}", calls=MAX_BAD)
        self._drop(Dropped.PAUSED, state.waiting)
        state.claimed, state.waiting, state.trying = [], 0, ""

    def score(self, every: Sequence[Kept], challenger: Challenger | None) -> None:
        """Scores answers, or counts why not."""
        if challenger is None:
            if reason := WITHOUT.get(self._state.status):
                self._drop(reason, sum(len(Rows.of(kept)) for kept in every))
            return
        rows = [each for kept in every if len(each := Rows.of(kept))]
        others = [each for each in rows if each.kept.describes["run_id"] != challenger.version.run_id]
        taken = [each for each in others if not challenger.lacking(each.kept.describes)]
        if others:
            self.misfit = "" if taken else _misfit(challenger, others[-1].kept)
        self._drop(Dropped.FEATURES, sum(map(len, others)) - sum(map(len, taken)))
        if self._state.breaker.is_open(time.time()):
            self._drop(Dropped.PAUSED, sum(map(len, taken)))
            return
        chosen = sampled(taken, self.budget.rows())
        self._drop(Dropped.BUDGET, sum(map(len, taken)) - sum(map(len, chosen)))
        self._score_all(chosen, challenger)

    def _score_all(self, chosen: Sequence[Rows], challenger: Challenger) -> None:
        """Call by call, each with rows of one answering model."""
        waiting = deque(sorted(chosen, key=lambda each: each.kept.describes["id"]))
        while waiting and not self._state.breaker.is_open(time.time()):
            call = _next_call(waiting, self.budget.call_rows)
            self._state.waiting = sum(map(len, waiting))
            self._score_call(call, challenger)
        self._drop(Dropped.PAUSED, self._state.waiting)
        self._state.waiting = 0

    def close(self) -> None:
        self._spool.close()

    def _score_call(self, call: Sequence[Rows], challenger: Challenger) -> None:
        state, places = self._state, challenger.places(call[0].kept.describes)
        state.claimed = [(each.kept.segment, each.kept.start, each.chosen.tolist()) for each in call]
        state.describes = dict(challenger.encoder.record.row)
        self._save()
        done = iter(self._predictions(challenger, columns(call, places), sum(map(len, call))))
        for each in call:
            predictions = [next(done) for _ in range(len(each))]
            self._append(challenger.encoder, each, predictions, _decisions(challenger, predictions), FAILED)
        state.claimed = []
        self._save()

    def _predictions(self, challenger: Challenger, values: Mapping[str, Any], count: int) -> list[Any]:
        """One for each row, or None."""
        begun = time.process_time()
        with watched():
            results = scored(challenger.model, values, count)
        seconds = time.process_time() - begun
        self.budget.record(count, seconds)
        errors = [each for each in results if isinstance(each, Exception)]
        if len(errors) > MAX_FAILED * count:
            self._bad(f"it fails, the last time by {errors[-1]!r}"[:500])
        elif seconds / count > self._slow:
            self._bad(f"it takes {seconds / count:.3f} s of a processor for a row, and may take {self._slow:g}")
        else:
            self._state.breaker.record_good()
        return [None if isinstance(each, Exception) else each for each in results]

    def _append(
        self,
        model: Describes,
        rows: Rows,
        predictions: Sequence[Any],
        decisions: Sequence[int | None],
        code: str,
    ) -> None:
        frame = encode_scores(model.model, rows.scores(predictions, decisions, code))
        if not self._spool.append(model, frame, len(rows)):
            self._drop(Dropped.FULL, len(rows))
            return
        good = sum(each is not None for each in predictions)
        self._state.scored += good
        self._state.failed += len(rows) - good

    def _drop(self, reason: Dropped, count: int) -> None:
        if count:
            self._state.dropped[reason] = self._state.dropped.get(reason, 0) + count

    def _bad(self, why: str, *, calls: int = 1) -> None:
        self._state.breaker.record_bad(time.time(), why, calls=calls)


@dataclass(frozen=True)
class _Described:
    """A model that is not loaded."""

    model: int
    description: bytes


def _misfit(challenger: Challenger, kept: Kept) -> str:
    names = ", ".join(challenger.lacking(kept.describes))
    return f"it takes {names}, which version {kept.describes['version']} does not take"


def _decisions(challenger: Challenger, predictions: Sequence[Any]) -> list[int | None]:
    decided = iter(challenger.model.facts.output.decisions([each for each in predictions if each is not None]))
    return [None if each is None else next(decided) for each in predictions]


def _next_call(waiting: deque[Rows], most: int) -> list[Rows]:
    """Takes at most so many rows of the first answering model from the left."""
    call, model = list[Rows](), waiting[0].kept.describes["id"]
    while waiting and most and waiting[0].kept.describes["id"] == model:
        first, rest = waiting.popleft().split(most)
        call.append(first)
        most -= len(first)
        if len(rest):
            waiting.appendleft(rest)
    return call
