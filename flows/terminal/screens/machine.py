"""Screens of the commands that set up and check the stack."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, count


def databases_screen(done: Mapping[str, Any]) -> Screen:
    corrected = [{"change": each} for each in done["corrected"]]
    headline = (
        f"Made {count(len(corrected), 'change')}."
        if corrected
        else "Nothing to do: roles, databases and grants are right."
    )
    return Screen(headline, {"passwords set": ", ".join(done["passwords"])}, {"Changes": corrected})


def servers_screen(done: Mapping[str, Any]) -> Screen:
    """The servers of `flows up`, all of which run or are another's."""
    rows = [
        {"server": name, "state": each["note"] or "running", "address": each["address"], "pid": str(each["pid"] or "")}
        for name, each in done["servers"].items()
    ]
    return Screen("Every server runs.", tables={"Servers": rows})


def demo_screen(done: Mapping[str, Any]) -> Screen:
    answers = "Every answer is as expected" if done["passed"] else "An answer is not as expected"
    return Screen(f"{answers}: {done['seconds']:.0f} s in all.", next_step=done["next"], well=done["passed"])


def findings_screen(report: Mapping[str, Any]) -> Screen:
    """The findings of the doctor, with the fix below each."""
    numbers = [count(report[f"{name}s"], name) for name in ("error", "warning", "note")]
    verdict = "Nothing must be fixed" if report["well"] else "Something must be fixed"
    rows = [
        {
            "severity": each["severity"],
            "finding": f"{each['found']}\n" + (f"-> {each['fix']}\n" if each["fix"] else ""),
        }
        for each in report["findings"]
    ]
    headline = f"{verdict}: {', '.join(numbers)}, in {report['seconds']} s."
    return Screen(headline, tables={"Findings": rows}, well=report["well"])


def keep_screen(done: Mapping[str, Any]) -> Screen:
    """The months that were moved or would be, with their files."""
    months = done["months"]
    answers = [each for each in months if each["partition"].startswith("predictions")]
    total = count(sum(each["rows"] for each in answers), "answer")
    what = f"{count(len(answers), 'month')} with {total}"
    if not months:
        headline = f"Nothing to move: no month of answers ended before {done['before']:%Y-%m-%d}."
    elif done["dry_run"]:
        headline = f"Would move {what}."
    else:
        headline = f"Moved {what}."
    rows = [
        {
            "month": each["partition"][-len("YYYY_MM") :].replace("_", "-"),
            "rows": each["rows"],
            "of": "answers" if each in answers else "shadow scores",
            "MB": round(each["bytes"] / 1e6),
            "file": each["file"].rpartition("/")[2],
        }
        for each in months
    ]
    facts = {
        "folder": done["folder"] if months else "",
        "partitions made ahead": done["made"] or None,
        "records of shipped files deleted": done["segments"] or None,
    }
    return Screen(headline, facts, {"Months": rows})


def keys_screen(listed: Mapping[str, Any]) -> Screen:
    return Screen(f"{count(len(listed['keys']), 'API key')}.", tables={"Keys": listed["keys"]})


def removed_screen(done: Mapping[str, Any]) -> Screen:
    return Screen(f"Removed {done['removed']}: running services refuse it within a second.")


def new_use_case_screen(done: Mapping[str, Any]) -> Screen:
    """The files that were written, and what is no feature."""
    headline = f"Wrote use case {done['use_case']}: {count(len(done['features']), 'feature')}."
    facts = {"files": done["files"], "no features": done["left_out"]}
    return Screen(headline, facts, next_step=done["next"])
