"""The demo's requests and the answers that the contract promises."""

import json
from pathlib import Path

from asof.use_case import Question

KNOWN = {"user": 0, "device": "phone"}
"""Seen in the source when this was written: take another when it is gone."""
UNKNOWN = {"user": -1, "device": "no-such-key"}


def questions(_: Path | None) -> list[Question]:
    """A known entity, an unknown one, and a malformed body."""
    return [
        Question("A known entity", json.dumps(KNOWN), 200, KNOWN),
        Question("An unknown entity", json.dumps(UNKNOWN), 404, {"code": "entity-not-found"}),
        Question("A malformed body", json.dumps({"key": None}), 422, {"code": "invalid-request"}),
    ]
