"""What to simulate: SimulationPlan, checked when it is made, and the folders that follow from it."""

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

from asof.errors import ConfigurationError
from simulator.profile import MOST_USERS

MOST_MONTHS = 240


def month_end_before(today: date) -> date:
    """The last month end that lies before `today`."""
    return today.replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class SimulationPlan:
    """Everything that decides the bytes written. Raises ConfigurationError, naming the parameter that is wrong.

    last_as_of            a month end, that of the newest extract
    users                 rows in every month: as many sign up as have left
    months                extracts to write, as of consecutive month ends
    late_share            share of the rows of usage, payments and support that come a month late, with the redelivery
    correction_share      share of the same rows whose first delivery counts something twice; the redelivery is right
    drift                 by how many standard deviations watch hours fall each month after the first; rebuffers rise
                          by the factor exp(drift / 2) each month
    concept_change_month  from this month on (0 is the first) users leave for other reasons; None: never
    """

    last_as_of: date
    users: int = 7043
    months: int = 6
    seed: int = 42
    late_share: float = 0.0
    correction_share: float = 0.0
    drift: float = 0.0
    concept_change_month: int | None = None

    def __post_init__(self) -> None:
        _within("users", self.users, 1, MOST_USERS)
        _within("months", self.months, 1, MOST_MONTHS)
        _within("late_share", self.late_share, 0, 1)
        _within("correction_share", self.correction_share, 0, 1)
        _within("drift", self.drift, -1, 1)
        if self.concept_change_month is not None:
            _within("concept_change_month", self.concept_change_month, 0, self.months - 1)
        if _month_end(self.last_as_of, 0) != self.last_as_of:
            raise ConfigurationError(f"last_as_of is {self.last_as_of}; give the last day of a month.")

    @property
    def redelivers(self) -> bool:
        """Whether each month is delivered a second time, a month later."""
        return self.late_share > 0 or self.correction_share > 0

    def as_of(self, month: int) -> date:
        """The month end that month `month` describes; the months before the first, below 0, are never written."""
        return _month_end(self.last_as_of, month - self.months + 1)

    def deliveries(self) -> tuple[str, ...]:
        """The folders: every month, and for each but the newest what arrives with the next: labels, redelivery."""
        over = range(self.months - 1)
        redeliveries = [f"month_{month:03}_r1" for month in over if self.redelivers]
        return (*(f"month_{m:03}" for m in range(self.months)), *(f"labels_{m:03}" for m in over), *redeliveries)


def _within(parameter: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{parameter} is {value}; give a value from {least} to {most}.")


def _month_end(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])
