"""Screens of the commands on kept answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.terminal.screens.screen import Screen, cell, count

SHOWN = 20
"""Rows of a table; --json has all."""
READ_FILES = "read the months' files, as in docs/operations/operations.md; --json has their paths"


def answers_screen(found: Mapping[str, Any]) -> Screen:
    answers, use_case, moved = found["answers"], found["use_case"], _moved(found["moved"])
    if not answers:
        text = f"The ledger has no such answer of {use_case}."
        if moved:
            return Screen(f"{text[:-1]}; months that may have it were moved.", tables=moved, next_step=READ_FILES)
        return Screen(
            text, next_step="a service keeps its answers with ASOF_LEDGER=process; see docs/monitoring/ledger.md"
        )
    newest = " (the newest; --limit shows more)" if len(answers) == found["limit"] else ""
    headline = f"{count(len(answers), 'answer')} of {use_case}{newest}."
    if len(answers) == 1:
        return Screen(headline, _facts(answers[0]), {"Values": [_value(each) for each in answers[0]["values"]]} | moved)
    return Screen(headline, tables={"Answers": [_row(each) for each in answers]} | moved)


def _moved(months: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Months that may have more answers."""
    rows = [
        {"month": each["month"], "answers": each["rows"], "file": each["file"] or "none: `flows ledger keep` goes on"}
        for each in months
    ]
    return {"Months that were moved to files": rows} if rows else {}


def _facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    model = answer["model"]
    return {
        "request": answer["request_id"],
        "at": answer["at"],
        "entity": answer["entity"],
        "outcome": answer["code"] or _exact(answer["prediction"]),
        "answer": answer["answer"],
        "what if": "some values are the request's own" if answer["hypothetical"] else None,
        "status": str(answer["status"]),
        "model": f"{model['name']} version {model['version'] or 'none'}, Bento {model['bento']}",
        "key": answer["api_key"],
    }


def _row(answer: Mapping[str, Any]) -> dict[str, Any]:
    """So few columns that ids, which are to be copied, are whole in 80 characters."""
    prediction = answer["prediction"]
    own = prediction[answer["decision"]] if isinstance(prediction, list) else prediction
    return {
        "request": answer["request_id"],
        "at": f"{answer['at']:%m-%d %H:%M}",
        "entity": answer["entity"],
        "outcome": answer["code"] or f"{cell(own)} {answer['answer'] or ''}".strip(),
    }


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    given = "in the request" if value["view"] is None else cell(value["as_of"])
    shown = "null" if value["value"] is None else _exact(value["value"])
    return {"feature": value["feature"], "value": shown, "as of": given, "verdict": str(value["verdict"])}


def replay_screen(done: Mapping[str, Any]) -> Screen:
    """What differs, or of a single answer both predictions in full."""
    counts, answers = done["counts"], done["answers"]
    rows = [each for each in answers if each["outcome"] != "same"]
    changed = [{name: each[name] for name in ("name", "recorded", "now")} for each in done["environment"]]
    return Screen(
        _replayed(counts),
        {
            "model": f"{done['model']} version {', '.join(sorted({str(each['version']) for each in answers}))}",
            **(_single(answers[0]) if len(answers) == 1 else {}),
            "greatest difference": _exact(done["greatest_difference"]),
            "notes": done["notes"],
            "reasons": sorted({each["reason"] for each in rows})[:SHOWN],
        },
        {
            f"Not the same{_first(rows)}": [_outcome(each) for each in rows[:SHOWN]] if len(answers) > 1 else (),
            "Environment that changed since the training": changed,
        },
        well=done["agrees"],
    )


def _replayed(counts: Mapping[str, int]) -> str:
    parts = []
    for outcome, one, several in (
        ("differs", "answer differs", "answers differ"),
        ("gone", "answer cannot be computed again", "answers cannot be computed again"),
        ("erased", "answer was erased", "answers were erased"),
        ("refused", "answer was a refusal", "answers were refusals"),
        ("same", "answer comes out the same, to the last bit", "answers come out the same, to the last bit"),
    ):
        if number := counts.get(outcome):
            parts.append(count(number, one, several))
    return f"{', '.join(parts)}."


def _single(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"kept": _exact(answer["kept"]), "now": _exact(answer["now"]), "answer": answer["kept_answer"]}


def _outcome(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "request": answer["request_id"],
        "version": answer["version"],
        "outcome": str(answer["outcome"]),
        "kept": _exact(answer["kept"]),
        "now": _exact(answer["now"]),
    }


def what_if_screen(done: Mapping[str, Any]) -> Screen:
    answers, version = done["answers"], done["version"]
    changed = [each for each in answers if each["changed"]]
    most = sorted(changed or answers, key=_change, reverse=True)
    return Screen(
        f"{done['changed']:,} of {count(len(answers), 'answer')} would be of another class with version {version}.",
        {
            "model": done["model"],
            "mean difference": done["mean_difference"],
            "greatest difference": done["greatest_difference"],
            "version fails at": done["failed"] or None,
        },
        {f"The largest changes{_first(most)}": [_beside(each, version) for each in most[:SHOWN]]},
    )


def _change(answer: Mapping[str, Any]) -> float:
    if answer["other"] is None:
        return float("inf")
    return float(np.max(np.abs(np.subtract(answer["kept"], answer["other"]))))


def _beside(answer: Mapping[str, Any], version: str) -> dict[str, Any]:
    return {
        "request": answer["request_id"],
        "version": answer["version"],
        "kept": _short(answer["kept"]),
        f"with version {version}": answer["problem"] or _short(answer["other"]),
        "answer": answer["kept_answer"],
        "would be": answer["other_answer"],
    }


def _first(rows: Sequence[Any]) -> str:
    return f" (the first {SHOWN} of {len(rows):,})" if len(rows) > SHOWN else ""


def _short(prediction: Any) -> str:
    return ", ".join(map(cell, prediction)) if isinstance(prediction, list) else cell(prediction)


def _exact(value: Any) -> str | None:
    """With all digits."""
    return value if value is None or isinstance(value, str) else repr(value)
