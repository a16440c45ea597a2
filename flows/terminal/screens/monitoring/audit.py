"""The screen of `flows audit`."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, cell

PERCENT_DIGITS = 3


def audit_screen(done: Mapping[str, Any]) -> Screen:
    """The shares of all findings, then the first value of each kind with its lineage."""
    shares = done["shares"]
    facts = {
        "answers": f"{done['answers']:,}, from {cell(done['since'])} up to {cell(done['until'])} UTC",
        "entities": f"{done['entities']:,} (sample {done['sample']:.3g})" if done["entities"] else "",
        "during a refresh": f"{done['refreshing']:,} values were right, and newer ones were on their way"
        if done["refreshing"]
        else "",
        "not audited": [f"{number:,} values {reason}" for reason, number in done["not_audited"].items()],
        "erased": f"{done['erased']:,} answers" if done["erased"] else "",
        "notes": list(done["notes"]),
    }
    return Screen(
        done["summary"],
        {name: value for name, value in facts.items() if value},
        {
            "Findings": [_share(each) for each in shares],
            "The first of each": [row for each in done["first"] for row in _first(each)],
        },
        next_step=_next_step(done),
        well=not done["errors"],
    )


def _share(share: Mapping[str, Any]) -> dict[str, Any]:
    interval = f"{_percent(share['low'])} to {_percent(share['high'])}" if share["share"] is not None else ""
    return {
        "finding": str(share["finding"]),
        "severity": share["severity"] if share["values"] and share["finding"] != "same" else "",
        "values": share["values"],
        "of": share["compared"],
        "share": _percent(share["share"]),
        "95 %": interval,
    }


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.{PERCENT_DIGITS}f}%"


def _first(each: Mapping[str, Any]) -> list[dict[str, Any]]:
    load = each["load"]
    lines = {
        "value": f"{each['feature']} of {each['view']}, version {each['version']}",
        "answer": f"{each['request_id'] or 'training set'}, {cell(each['at'])} UTC, {_named(each['entity'])}",
        "served": _dated(each["served"], each["served_as_of"]),
        "snapshots": _dated(each["offline"], each["offline_as_of"]) if each["offline_as_of"] else "no row",
        "load": f"{load['load_id']}: {load['file']} in {load['folder']}" if load else "",
        "why": each["why"],
        "next": each["next_step"],
    }
    kept = {name: text for name, text in lines.items() if text}
    return [
        {"finding": str(each["finding"]) if number == 0 else "", "what": f"{name}: {text}"}
        for number, (name, text) in enumerate(kept.items())
    ]


def _dated(value: Any, moment: Any) -> str:
    shown = "null" if value is None else value if isinstance(value, str) else repr(value)
    return f"{shown} as of {cell(moment)}" if moment else "nothing"


def _named(entity: Any) -> str:
    if isinstance(entity, Mapping):
        return ", ".join(f"{name} {value}" for name, value in entity.items())
    return str(entity)


def _next_step(done: Mapping[str, Any]) -> str:
    """The whole lineage of the first answer with an error."""
    own = [each["request_id"] for each in done["first"] if each["finding"] not in ("same", "late-data")]
    return f"python -m flows trace {done['use_case']} {own[0]}" if own and own[0] else ""
