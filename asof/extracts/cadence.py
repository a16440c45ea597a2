"""How often the tables of a use case describe a moment, and when the labels of a moment are known."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar

Day = TypeVar("Day", bound=date)


class Every(StrEnum):
    """The step from one moment to the next."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def after(self, moment: datetime, steps: int = 1) -> datetime:
        """The moment `steps` later (earlier if negative). Months lead to the end of a month, whatever its length."""
        if self is Every.MONTH:
            return month_end(moment, steps)
        return moment + steps * timedelta(**{f"{self}s": 1})

    def until(self, first: datetime, last: datetime) -> list[datetime]:
        """`first` and the moments after it, up to `last`; empty if `last` is earlier."""
        moments: list[datetime] = []
        while (moment := self.after(first, len(moments))) <= last:
            moments.append(moment)
        return moments


@dataclass(frozen=True)
class Cadence:
    """Extracts come `every` so often; labels are known `horizon` after their moment (None: one such step)."""

    every: Every = Every.MONTH
    horizon: timedelta | None = None

    def labels_known(self, moment: datetime, redelivery: int = 0) -> datetime:
        """When the labels of a moment can be known, or their n-th redelivery."""
        if self.horizon is None:
            return self.every.after(moment, redelivery + 1)
        return self.every.after(moment, redelivery) + self.horizon


MONTHLY = Cadence()


def span_text(span: timedelta) -> str:
    """A length of time for people: `31 days`, or `6 hours` up to two days."""
    hours = span.total_seconds() / 3600
    return f"{hours / 24:,.0f} days" if hours > 48 else f"{hours:,.4g} hours"


def month_end(start: Day, months: int) -> Day:
    """The last day of the month that is `months` after that of `start`, at its hour; `start` itself for 0."""
    if months == 0:
        return start
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    return start.replace(year=year, month=month + 1, day=monthrange(year, month + 1)[1])


def moment_of(day: date) -> datetime:
    """A date's midnight, or a point in time, in UTC; one without a zone is taken as UTC."""
    moment = day if isinstance(day, datetime) else datetime.combine(day, time.min)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def moment_text(moment: datetime) -> str:
    """As commands and names of folders accept it: `2024-01-31`, or `2024-01-31T06:00Z` where it is not midnight."""
    moment = moment.astimezone(UTC)
    if moment.time() == time.min:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%dT%H:%MZ}" if not (moment.second or moment.microsecond) else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
