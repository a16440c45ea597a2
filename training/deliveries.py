"""A folder of extracts -> the deliveries in it, each with the moment that it describes and when it was known."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from asof.errors import DataError

NAME = re.compile(r"(month|labels)_(\d{3}|\d{4}-\d{2}-\d{2})(?:_r(\d+))?")


@dataclass(frozen=True)
class Delivery:
    """One folder to load; `known_at` is None where it counts as known from the moment that it is loaded."""

    folder: Path
    as_of: datetime
    known_at: datetime | None


def find_deliveries(folder: Path, *, first: date | None = None, backfill: bool = False) -> list[Delivery]:
    """The deliveries in a folder, in the order in which they were known.

    `month_000`, `month_001`, ... describe `first` and the month ends after it; `month_2024-01-31` names its own
    moment. `labels_000` brings that month's labels alone, `month_000_r1` the whole month once more. A folder that
    holds CSV files itself is one delivery, as of `first`.

    With `backfill` each counts as known when it could have been: a month at its own end, its labels one month later,
    its n-th redelivery n months later. Raises DataError where there is none, or `first` is needed and missing.
    """
    if any(folder.glob("*.csv")):
        return [Delivery(folder, _moment(_needed(first, folder)), None)]
    found = [_delivery(path, match, first, backfill) for path in sorted(folder.glob("*")) if (match := _match(path))]
    if not found:
        raise DataError(f"{folder} holds no month_000, month_2024-01-31, labels_000, ...: is it the right folder?")
    return sorted(found, key=_turn)


def _turn(delivery: Delivery) -> tuple[datetime, bool, str]:
    """Where all count as known from now, a month comes before its labels, which are of users that must be known."""
    name = delivery.folder.name
    return delivery.known_at or delivery.as_of, delivery.known_at is None and name.startswith("labels"), name


def month_end(start: date, months: int) -> date:
    """The last day of the month that lies `months` after that of `start`; `start` itself for 0."""
    if months == 0:
        return start
    years, month = divmod(start.month - 1 + months, 12)
    return date(start.year + years, month + 1, monthrange(start.year + years, month + 1)[1])


def _match(path: Path) -> re.Match[str] | None:
    return NAME.fullmatch(path.name) if path.is_dir() else None


def _delivery(path: Path, match: re.Match[str], first: date | None, backfill: bool) -> Delivery:
    what, when, again = match.groups()
    described = date.fromisoformat(when) if "-" in when else month_end(_needed(first, path), int(when))
    months_later = int(again or 0) or int(what == "labels" or (path / "labels.csv").exists())
    known_at = _moment(month_end(described, months_later)) if backfill else None
    return Delivery(path, _moment(described), known_at)


def _needed(first: date | None, folder: Path) -> date:
    if first is None:
        raise DataError(
            f"{folder} does not name its month: say which moment the first one describes (--as-of 2024-01-31)."
        )
    return first


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
