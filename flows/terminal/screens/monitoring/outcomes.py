"""Screens of the commands on outcomes."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, count


def loaded_screen(done: Mapping[str, Any]) -> Screen:
    """The number of rows of each verdict, and the first that were refused."""
    added = done["verdicts"]["accepted"] + done["verdicts"]["corrected"]
    verdicts = {name: number for name, number in done["verdicts"].items() if number}
    return Screen(
        f"Loaded {count(added, 'outcome')} of {count(done['rows'], 'row')}.",
        {**verdicts, "complete": done["complete"]},
        {"Not loaded": done["refused"]},
        well=not done["refused"],
    )
