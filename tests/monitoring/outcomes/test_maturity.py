"""When predictions of a moment count."""

from datetime import UTC, datetime, timedelta

import pytest

from asof.extracts.cadence import MONTHLY, Cadence, Every
from monitoring.outcomes.maturity import Maturity, maturity_of

AS_OF, END = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("completed", "known_at", "maturity"),
    [
        ([], END - DAY, Maturity.WAITING),
        ([], END, Maturity.INCOMPLETE),
        ([AS_OF + DAY], END + DAY, Maturity.INCOMPLETE),  # labels before the end of the horizon are not all
        ([AS_OF + DAY], END - DAY, Maturity.WAITING),
        ([END], END, Maturity.MATURE),
        ([AS_OF + DAY, END + DAY], END + DAY, Maturity.MATURE),
        ([END + DAY], END, Maturity.INCOMPLETE),  # not known yet
    ],
)
def test_the_horizon_is_over_and_the_labels_are_complete(
    completed: list[datetime], known_at: datetime, maturity: Maturity
) -> None:
    assert maturity_of(AS_OF, MONTHLY, completed, known_at) is maturity


def test_the_horizon_is_that_of_the_cadence() -> None:
    hourly = Cadence(Every.HOUR, horizon=timedelta(minutes=10))
    end = AS_OF + timedelta(minutes=10)
    assert maturity_of(AS_OF, hourly, [end], end - timedelta(seconds=1)) is Maturity.WAITING
    assert maturity_of(AS_OF, hourly, [end], end) is Maturity.MATURE
