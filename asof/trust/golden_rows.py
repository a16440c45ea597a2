"""Golden rows: held-out rows with the predictions that the model made when it was evaluated.

They are in the model's folder and signed with it. Each load of the model predicts them again, so that another library,
processor or formula of a derived column is noticed before the first user is scored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np

from asof.errors import ModelError
from asof.targets import TOLERANCE, Output, Prediction

GOLDEN_ROWS = "asof_golden_rows.json"


class Model(Protocol):
    """Predicts n rows of feature values by name."""

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Prediction]: ...


@dataclass(frozen=True)
class GoldenRowsCheck:
    """The number of golden rows, and the largest difference between their predictions then and now."""

    rows: int
    largest_difference: float


@dataclass(frozen=True)
class GoldenRows:
    """Feature values by name, without their entities, and the prediction of each row.

    The file calls every prediction a probability, as it did when there was no other.
    """

    rows: Sequence[Mapping[str, Any]]
    probabilities: Sequence[Prediction]

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
            raise ModelError(f"{GOLDEN_ROWS} holds no golden rows with a prediction each: train again.")
        return golden

    def check(self, model: Model, output: Output) -> GoldenRowsCheck:
        """Predicts all rows at once, and the first alone. Raises ModelError for a difference above TOLERANCE."""
        now = np.array([*model.predict(self.rows), *model.predict(self.rows[:1])])
        then = np.array([*self.probabilities, *self.probabilities[:1]])
        if now.shape != then.shape:
            raise ModelError(f"{GOLDEN_ROWS} holds golden rows of another target: train again.")
        differences = output.differences(now, then)
        # `not <=`, since NaN is a difference, too.
        if (wrong := np.flatnonzero(~(differences <= TOLERANCE))).size:
            raise ModelError(
                f"{wrong.size} of {len(now)} golden rows come out differently than when the model was evaluated, the "
                f"first as {_shown(now[wrong[0]])} instead of {_shown(then[wrong[0]])}: compare the versions of "
                "libraries and the code of derived columns, or train again."
            )
        return GoldenRowsCheck(len(self.rows), float(differences.max()))


def _shown(prediction: Any) -> str:
    return np.array2string(np.asarray(prediction), precision=6, floatmode="fixed")
