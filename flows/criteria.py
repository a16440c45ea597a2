"""The terminal's side of `promote` and `retrain`: criteria as a table for people."""

from collections.abc import Mapping
from typing import Any


def without_figures(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A promotion whose criteria tell their reasons only, which hold the figures; None where none was asked for."""
    if outcome is None:
        return None
    shown = [{name: each[name] for name in ("name", "passed", "reason")} for each in outcome["criteria"]]
    return {**outcome, "criteria": shown}
