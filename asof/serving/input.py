"""Input: what the model is asked with, and what that rests on, wherever the features come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """The features' values by name, and the members of the answer that tell of them (`flags`, `as_of`)."""

    values: Mapping[str, Any]
    evidence: Mapping[str, Any]
