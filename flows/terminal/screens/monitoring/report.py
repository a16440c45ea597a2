"""The screen of the command that writes the monitoring page."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen


def report_screen(done: Mapping[str, Any]) -> Screen:
    """The page's own sentence, and its reasons."""
    facts = {name.replace("_", " "): done[name] for name in ("page", "version", "figures", "open_alerts")}
    reasons = [{"why": each} for each in done["reasons"]]
    return Screen(done["sentence"], facts, {"Reasons": reasons}, well=done["state"] != "wrong")
