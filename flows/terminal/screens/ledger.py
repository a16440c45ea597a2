"""Screens of the commands on the ledger."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, count


def keep_screen(done: Mapping[str, Any]) -> Screen:
    """The months that were moved or would be, with their files."""
    months = done["months"]
    total = count(sum(each["rows"] for each in months), "answer")
    what = f"{count(len(months), 'month')} with {total}"
    if not months:
        headline = f"Nothing to move: no month of answers ended before {done['before']:%Y-%m-%d}."
    elif done["dry_run"]:
        headline = f"Would move {what} to {done['folder']}."
    else:
        headline = f"Moved {what} to {done['folder']}."
    rows = [
        {
            "month": each["partition"].removeprefix("predictions_").replace("_", "-"),
            "answers": each["rows"],
            "MB": round(each["bytes"] / 1e6),
            "file": each["file"].rpartition("/")[2],
        }
        for each in months
    ]
    facts = {
        "partitions made ahead": done["made"] or None,
        "records of shipped files deleted": done["segments"] or None,
    }
    return Screen(headline, facts, {"Months": rows})
