"""Moments -> the deliveries of a use case whose tables are all queried."""

from collections.abc import Iterator
from datetime import UTC, datetime

from asof.errors import DataError
from asof.extracts.cadence import Every, moment_of, moment_text
from asof.extracts.schema import ExtractSchema
from training.data.extracts.deliveries import Delivery, Part


def moment_deliveries(
    schema: ExtractSchema,
    first: datetime | None = None,
    until: datetime | None = None,
    every: Every | None = None,
    *,
    backfill: bool = False,
) -> list[Delivery]:
    """One delivery as of `first` (default: now), or one as of each moment from `first` to `until`, `every` so often.

    `every` defaults to the schema's cadence. With `backfill` rows are known at the moment that they describe, and
    labels, in a delivery of their own, when the cadence says; without, from now on. Labels that cannot be known yet are
    left out. Raises DataError for moments in the future, an empty range, and a range or backfill without `first`.
    """
    if first is None:
        if until or every or backfill:
            raise DataError("A range of moments or a backfill has a first one: give it (--from 2024-01-31).")
        return [Delivery(None, None, None)]
    first, last = moment_of(first), moment_of(until or (datetime.now(UTC) if every else first))
    if last > datetime.now(UTC):
        raise DataError(f"{moment_text(last)} is in the future: nothing has happened up to then.")
    if last < first:
        raise DataError(f"{moment_text(last)} is before {moment_text(first)}: give the earlier moment first.")
    moments = (every or schema.cadence.every).until(first, last)
    deliveries = [each for moment in moments for each in _at(schema, moment, backfill=backfill)]
    return sorted(deliveries, key=lambda each: (each.known_at or last, each.as_of, each.part is Part.LABELS))


def _at(schema: ExtractSchema, moment: datetime, *, backfill: bool) -> Iterator[Delivery]:
    if not backfill:
        yield Delivery(None, moment, None)
        return
    yield Delivery(None, moment, moment, Part.FEATURES)
    if (known := schema.cadence.labels_known(moment)) <= datetime.now(UTC):
        yield Delivery(None, moment, known, Part.LABELS)
