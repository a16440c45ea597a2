"""The values that a request gives -> those outside what the model was trained on, or a refusal of those far outside.

A model answers whatever it is asked, and a linear one the surer the farther a value is from all that it has seen. So
the distance from the training range is judged before the model is asked. Pure: no store, no clock, no HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asof.errors import InvalidRequest
from asof.use_case import Given

FARTHEST = 10.0
"""Training ranges that a value may lie outside; farther off it is a slip of the unit or the column."""


@dataclass(frozen=True)
class Outside:
    """A value outside the training range from `low` to `high`, and its distance in widths of that range."""

    given: Given
    low: float
    high: float

    @property
    def ranges_away(self) -> float:
        """The distance from the nearer end; infinite where training knew a single value."""
        width = self.high - self.low
        distance = max(self.low - self.given.value, self.given.value - self.high)
        return distance / width if width else float("inf")


def outside(given: Sequence[Given], ranges: Mapping[str, tuple[float, float]]) -> list[Outside]:
    """The values that lie outside their feature's training range (both ends belong to it), to be flagged.

    Raises InvalidRequest for those that lie more than FARTHEST ranges outside, naming each place and how far it is.
    """
    ends = ((each, *ranges[each.name]) for each in given if each.name in ranges)
    found = [Outside(each, low, high) for each, low, high in ends if not low <= each.value <= high]
    if far := [each for each in found if each.ranges_away > FARTHEST]:
        errors = [{"at": f"body.{each.given.place}", "rule": _rule(each)} for each in far]
        raise InvalidRequest("; ".join(f"{error['at']}: {error['rule']}" for error in errors), errors=errors)
    return found


def _rule(far: Outside) -> str:
    return (
        f"{far.given.name} must lie within {FARTHEST:g} training ranges of {far.low:g} to {far.high:g}; "
        f"{far.given.value:g} is {far.ranges_away:.3g} ranges away"
    )
