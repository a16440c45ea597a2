"""Screens of `flows erase`, none of which shows an id."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, count

LEARNED = "train again for a version without it; models keep what they have learned."


def erasure_screen(done: Mapping[str, Any]) -> Screen:
    places = [{"place": place, "copies": number} for place, number in done["copies"].items()]
    return Screen(
        _headline(done),
        {"tombstone": done["digest"], "trained with it": ", ".join(done["models"])},
        {
            "Still found": [{"place": place, "copies": number} for place, number in (done["remaining"] or {}).items()],
            "Copies": places,
            "Left to you": [
                {"place": each["place"], "copies": max(each["count"], 0) or "unknown", "what to do": each["left"]}
                for each in done["left"]
            ],
        },
        next_step=_next_step(done),
        well=not done["remaining"],
    )


def again_screen(done: Mapping[str, Any]) -> Screen:
    rows = [
        {"use case": each["use_case"], "tombstone": each["digest"][:12], "copies": each["count"]}
        for each in done["erased"]
    ]
    headline = (
        f"Erased {count(len(rows), 'entity', 'entities')} again." if rows else "Nothing that tombstones cover is here."
    )
    return Screen(headline, {}, {"Erased again": rows}, well=not any(each["remaining"] for each in done["erased"]))


def _headline(done: Mapping[str, Any]) -> str:
    copies = f"{count(done['count'], 'copy', 'copies')} in {count(len(done['copies']), 'place')}"
    if done["erased_before"]:
        return f"Nothing of it is here: it was erased at {done['erased_before']:%Y-%m-%d %H:%M} UTC."
    if done["dry_run"]:
        begun = " An erasure that was begun waits to be finished." if done["begun_before"] else ""
        return f"Found {copies}; nothing was changed.{begun}"
    if done["remaining"]:
        return f"Erased {copies}, and found more since."
    return f"{'Finished an interrupted erasure' if done['begun_before'] else 'Erased'}: {copies}."


def _next_step(done: Mapping[str, Any]) -> str:
    if done["remaining"]:
        return "run the same command again."
    return LEARNED if done["models"] and not done["dry_run"] else ""
