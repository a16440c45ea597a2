"""Golden rows: held-out rows with the probabilities that the model predicted when it was evaluated.

They are in the model's folder and signed with it. Each load of the model predicts them again, so that another library,
processor or formula of a derived column is noticed before the first user is scored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from asof.errors import ModelError

GOLDEN_ROWS = "asof_golden_rows.json"
TOLERANCE = 1e-6
"""The largest accepted difference of a probability (0 to 1)."""


class ProbabilityModel(Protocol):
    """Predicts probabilities (0 to 1) of n rows of feature values by name."""

    def probabilities(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[float]: ...


@dataclass(frozen=True)
class GoldenRowsCheck:
    """The number of golden rows, and the largest difference between their probabilities then and now."""

    rows: int
    largest_difference: float


@dataclass(frozen=True)
class GoldenRows:
    """Feature values by name, without their entities, and the probability of each row."""

    rows: Sequence[Mapping[str, Any]]
    probabilities: Sequence[float]

    def to_json(self) -> bytes:
        """The file's content, with floats in full precision."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """The inverse of `to_json`. Raises ModelError for other content, or no rows."""
        try:
            golden = cls(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{GOLDEN_ROWS} holds no golden rows ({error}): train again.") from error
        if not 0 < len(golden.rows) == len(golden.probabilities):
            raise ModelError(f"{GOLDEN_ROWS} holds no golden rows with a probability each: train again.")
        return golden

    def check(self, model: ProbabilityModel) -> GoldenRowsCheck:
        """Predicts all rows at once, and the first alone. Raises ModelError for a difference above TOLERANCE."""
        now = [*model.probabilities(self.rows), *model.probabilities(self.rows[:1])]
        then = [*self.probabilities, *self.probabilities[:1]]
        differences = [abs(one - other) for one, other in zip(now, then, strict=True)]
        # `not <=`, since NaN is a difference, too.
        if wrong := [row for row, difference in enumerate(differences) if not difference <= TOLERANCE]:
            raise ModelError(
                f"{len(wrong)} of {len(now)} golden rows come out differently than when the model was evaluated, the "
                f"first as {now[wrong[0]]:.6f} instead of {then[wrong[0]]:.6f}: compare the versions of libraries and "
                "the code of derived columns, or train again."
            )
        return GoldenRowsCheck(len(self.rows), max(differences))
