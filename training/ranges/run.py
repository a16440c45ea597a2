"""Ranges and a work -> the result of each, by the engine of the settings."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import psycopg

from asof.errors import RangeFailed
from asof.settings import Settings
from training.ranges.engines import Engine, open_engine
from training.ranges.plan import Range
from training.ranges.worker import Work, WorkerLost

Result = TypeVar("Result")

TRIES = 3
LOSSES = (WorkerLost, psycopg.OperationalError, psycopg.InterfaceError, OSError)
"""Errors of a worker, a server or a disk; any other comes from the data, and would come again elsewhere."""


def each_range(
    settings: Settings, work: Work[Result], ranges: Sequence[Range]
) -> Generator[tuple[Range, Result], None, None]:
    """Each range and its result, in the order in which they end. To be closed by the caller.

    A range whose worker, server or disk fails is tried again twice, by whichever worker is free. Raises RangeFailed,
    which names it, and what the work raises; ranges that are at work then are finished, others are not begun.
    """
    with open_engine(settings, len(ranges)) as engine:
        if engine.workers == 1:
            for part in ranges:
                yield part, _tried(engine, work, part)
        else:
            yield from _at_once(engine, work, ranges)


def _at_once(
    engine: Engine, work: Work[Result], ranges: Sequence[Range]
) -> Generator[tuple[Range, Result], None, None]:
    with ThreadPoolExecutor(engine.workers) as threads:
        running = {threads.submit(_tried, engine, work, part): part for part in ranges}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            for future in running:
                future.cancel()


def _tried(engine: Engine, work: Work[Result], part: Range) -> Result:
    for tries in range(1, TRIES + 1):
        try:
            return engine.perform(work, part)
        except LOSSES as error:
            if tries == TRIES:
                reason = (str(error).strip().splitlines() or [""])[0]
                raise RangeFailed(
                    f"Range {part.number} failed {TRIES} times ({type(error).__name__}: {reason})."
                ) from error
    raise AssertionError("unreachable")
