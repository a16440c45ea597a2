"""What the process of a challenger knows, in a file: for its next start, for GET /model and for the metrics."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from asof.files import write_whole
from asof.serving.shadow.limits.breaker import Breaker


class Status(StrEnum):
    """What the challenger does."""

    STARTING = "starting"
    """Its version is not known yet, or is being loaded."""
    IDLE = "idle"
    """There is no version beside the one in Production."""
    REFUSED = "refused"
    """The version is unusable."""
    SCORING = "scoring"
    PAUSED = "paused"
    """It failed too often, was too slow, or its process ended."""


class Dropped(StrEnum):
    """Why an answer has no shadow score."""

    BUDGET = "budget"
    STARTING = "starting"
    PAUSED = "paused"
    REFUSED = "refused"
    FEATURES = "features"
    """The challenger takes features that the answering model does not."""
    FULL = "full"
    """The spool has half of its greatest size, or cannot be written."""


Claim = tuple[str, int, Sequence[int]]
"""A file of the spool, the byte at which a frame begins, and places of its answers."""


@dataclass
class State:
    """Answers with a prediction are `scored`, `failed` (the challenger raised, or its process ended) or `dropped`.

    `places` are the bytes up to which each file of the spool was read, `claimed` the answers that are being scored,
    `waiting` the number of those read that are scored after them, `trying` the version that is being loaded: what is
    left of these at a start, the process did not survive.
    `describes` is the challenger's row of `ledger.models`.
    """

    version: str = ""
    run_id: str = ""
    status: str = Status.STARTING
    why: str = ""
    scored: int = 0
    failed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    claimed: list[Claim] = field(default_factory=list)
    waiting: int = 0
    trying: str = ""
    describes: dict[str, Any] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    looked_at: float = 0.0


def state_file(folder: Path, model_name: str) -> Path:
    """In the folder of the spool."""
    return folder / f"shadow-{model_name}.json"


def read_state(path: Path) -> State | None:
    """None where there is none, or one of another version of AsOf."""
    try:
        members = json.loads(path.read_text())
        return State(**members | {"breaker": Breaker(**members["breaker"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def write_state(path: Path, state: State) -> None:
    """Replaces the file."""
    write_whole(path, json.dumps(asdict(state)))


def lock_file(folder: Path, model_name: str) -> Path:
    """Who has its lock is the only such process of the service."""
    return folder / f"shadow-{model_name}.lock"


def workers_file(folder: Path, model_name: str) -> Path:
    """Each worker of the service has its lock, shared with the others."""
    return folder / f"shadow-{model_name}.workers"
