"""What to simulate: SimulationPlan, validated on creation, and the folders that it implies."""

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

from asof.errors import ConfigurationError
from simulator.profile import MAX_USERS

MAX_MONTHS = 240


def month_end_before(today: date) -> date:
    """The last month end before `today`."""
    return today.replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class SimulationPlan:
    """All parameters that determine the output. Raises ConfigurationError for a parameter out of its range.

    last_as_of            the month end of the newest extract
    users                 rows in every month: users who leave are replaced
    months                extracts to write, as of consecutive month ends
    late_share            share of the rows of usage, payments and support that arrive only with the redelivery
    correction_share      share of the same rows with a value that is too high until the redelivery
    drift                 standard deviations by which watch hours fall in each month after the first; rebuffers rise
                          by the factor exp(drift / 2)
    drift_month           the inputs move once, in this month (0 is the first), and stay; None: in each month
    drift_end_month       the first month in which they are as before again; None: they stay
    concept_change_month  from this month on (0 is the first) users leave for other reasons; None: never
    """

    last_as_of: date
    users: int = 7043
    months: int = 6
    seed: int = 42
    late_share: float = 0.0
    correction_share: float = 0.0
    drift: float = 0.0
    drift_month: int | None = None
    drift_end_month: int | None = None
    concept_change_month: int | None = None

    def __post_init__(self) -> None:
        _within("users", self.users, 1, MAX_USERS)
        _within("months", self.months, 1, MAX_MONTHS)
        _within("late_share", self.late_share, 0, 1)
        _within("correction_share", self.correction_share, 0, 1)
        _within("drift", self.drift, -1, 1)
        for parameter in ("drift_month", "drift_end_month", "concept_change_month"):
            if (month := getattr(self, parameter)) is not None:
                _within(parameter, month, 0, self.months - 1)
        if self.drift_month is not None and not self.drift:
            raise ConfigurationError(f"drift_month is {self.drift_month} and drift is 0; give a drift as well.")
        if self.drift_end_month is not None and (self.drift_month is None or self.drift_end_month <= self.drift_month):
            raise ConfigurationError(f"drift_end_month is {self.drift_end_month}; give an earlier drift_month as well.")
        if _month_end(self.last_as_of, 0) != self.last_as_of:
            raise ConfigurationError(f"last_as_of is {self.last_as_of}; give the last day of a month.")

    @property
    def redelivers(self) -> bool:
        """Whether each month is delivered a second time, a month later."""
        return self.late_share > 0 or self.correction_share > 0

    def drift_in(self, month: int) -> float:
        """By how many standard deviations the inputs of a month have moved; those below 0 have not."""
        if self.drift_month is not None:
            ended = self.drift_end_month is not None and month >= self.drift_end_month
            return self.drift if month >= self.drift_month and not ended else 0.0
        return self.drift * max(month, 0)

    def as_of(self, month: int) -> date:
        """The month end of a month; those below 0 are simulated but not written."""
        return _month_end(self.last_as_of, month - self.months + 1)

    def deliveries(self) -> tuple[str, ...]:
        """The folders: every month, and for each but the newest labels and redelivery."""
        months = [f"month_{month:03}" for month in range(self.months)]
        labels = [f"labels_{month:03}" for month in range(self.months - 1)]
        return (*months, *labels, *(f"{name}_r1" for name in months[:-1] if self.redelivers))


def _within(parameter: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{parameter} is {value}; give a value from {least} to {most}.")


def _month_end(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])
