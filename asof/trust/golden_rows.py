"""Held-out rows with the probabilities that the model gave them when it was evaluated: what it must still say.

They lie in the model's folder and are signed with it. Whoever loads the model asks it again: another library, another
processor, or another formula of a derived column shows before the first user is scored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from asof.errors import ModelError

GOLDEN_ROWS = "asof_golden_rows.json"
TOLERANCE = 1e-6
"""The largest difference of probability (0 to 1) that counts as the same."""


class Predicts(Protocol):
    """What gives probabilities (0 to 1), one for each row of feature values by name."""

    def probabilities(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[float]: ...


@dataclass(frozen=True)
class Proof:
    """So many golden rows were asked again; the largest difference between then and now."""

    rows: int
    largest_difference: float


@dataclass(frozen=True)
class GoldenRows:
    """Feature values by name, without the entities that they are of; and the probability of each row."""

    rows: Sequence[Mapping[str, Any]]
    probabilities: Sequence[float]

    def to_json(self) -> bytes:
        """The file's content; a float keeps its last digit."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """The inverse of `to_json`. Raises ModelError where the content is something else, or holds no row."""
        try:
            golden = cls(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{GOLDEN_ROWS} holds no golden rows ({error}): train again.") from error
        if not 0 < len(golden.rows) == len(golden.probabilities):
            raise ModelError(f"{GOLDEN_ROWS} holds no golden rows with a probability each: train again.")
        return golden

    def prove(self, model: Predicts) -> Proof:
        """Asks the model for all rows at once, and for the first alone.

        Raises ModelError where it says something else than it said then, by more than TOLERANCE.
        """
        now = [*model.probabilities(self.rows), *model.probabilities(self.rows[:1])]
        told = [*self.probabilities, *self.probabilities[:1]]
        differences = [abs(one - other) for one, other in zip(now, told, strict=True)]
        # `not <=` and not `>`: a NaN is a difference, too.
        if wrong := [place for place, difference in enumerate(differences) if not difference <= TOLERANCE]:
            place = wrong[0]
            raise ModelError(
                f"{len(wrong)} of {len(now)} golden rows come out differently than when the model was evaluated, the "
                f"first as {now[place]:.6f} and then as {told[place]:.6f}: same libraries? same derived columns?"
            )
        return Proof(len(self.rows), max(differences))
