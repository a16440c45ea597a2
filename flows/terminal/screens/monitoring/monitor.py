"""Screens of the commands on whether models are still right."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.terminal.screens.screen import Screen, cell, count

SHOWN = 20
"""Rows of a table; --json has all."""
MANY = ("drift", "slice", "volume", "audit")
"""Subjects with a figure for each feature, slice or code: of these only what is beyond chance is shown."""
WORTH_SHOWING = {"notice", "alarm"}

Rows = Sequence[Mapping[str, Any]]


def monitor_screen(done: Mapping[str, Any]) -> Screen:
    """The open alerts in one sentence, the newest figures that matter, and each alert with its next step."""
    alerts: Rows = done["alerts"]
    figures = [*_that_matter(done["figures"])]
    more = f" (the first {SHOWN} of {len(figures)}; --json has all)" if len(figures) > SHOWN else ""
    retraining = {each["alert"]: each["outcome"] for each in done["retraining"]}
    return Screen(
        _headline(done),
        {
            "version": done["version"],
            "computed": f"{count(len(done['windows']), 'window')}, {count(done['answers'], 'answer')}",
            "archived": f"{count(len(done['archived']), 'window')}, whose figures stay" if done["archived"] else None,
            "closed": [f"{each['rule']}: {_last(each)['reason']}" for each in done["closed"]],
            "retraining": list(retraining.values()),
        },
        {
            f"Figures{more}": [_figure(each) for each in figures[:SHOWN]],
            "Open alerts": [_alert(each) for each in alerts],
        },
        next_step=alerts[0]["detail"]["next"] if alerts else "",
        well=not alerts,
    )


def alerts_screen(found: Mapping[str, Any]) -> Screen:
    """Each alert, and its history where there is one alone."""
    alerts: Rows = found["alerts"]
    still = sum(each["open"] for each in alerts)
    history = [_event(each) for alert in alerts for each in alert["history"]] if len(alerts) == 1 else []
    return Screen(
        f"{count(len(alerts), 'alert')} of {found['use_case']}, {still} of them open." if alerts else _none(found),
        tables={"Alerts": [_listed(each) for each in reversed(alerts)][:SHOWN], "History": history},
        next_step=f"python -m flows alerts {found['use_case']} --close ALERT --reason TEXT closes one" if still else "",
        well=not still,
    )


def closed_screen(done: Mapping[str, Any]) -> Screen:
    alert = done["closed"]
    return Screen(
        f"Closed the alert {alert['rule']} of version {alert['version']}.",
        {"alert": alert["alert"], "reason": done["reason"]},
    )


def _headline(done: Mapping[str, Any]) -> str:
    name = f"{done['use_case']} version {done['version']}" if done["version"] else done["use_case"]
    if not done["saved"]:
        return f"Figures of {name} as known at {cell(done['known_at'])}: not saved, as there are newer ones."
    if not done["figures"]:
        return f"The ledger has no answers of {name} yet."
    results = (each["result"] for each in done["retraining"])
    if promoted := [each["version"] for each in results if each and each["promoted"]]:
        return f"{name} was wrong: version {promoted[-1]} was trained and promoted."
    errors = sum(each["severity"] == "error" for each in done["alerts"])
    warnings = len(done["alerts"]) - errors
    parts = [count(errors, "error")] * (errors > 0) + [count(warnings, "warning")] * (warnings > 0)
    return f"{name}: {' and '.join(parts) or 'nothing is wrong'}{'' if done['windows'] else '; nothing is new'}."


def _none(found: Mapping[str, Any]) -> str:
    return f"There are no alerts of {found['use_case']}."


def _that_matter(figures: Rows) -> Iterator[Mapping[str, Any]]:
    """Of the newest window of each subject: all, or of features and slices those that are beyond chance."""
    newest = {
        subject: max(each["as_of"] for each in figures if each["subject"] == subject) for subject in _subjects(figures)
    }
    for each in figures:
        if each["as_of"] == newest[each["subject"]]:
            single = each["subject"] not in MANY or not each["about"]
            if single or each["verdict"] in WORTH_SHOWING:
                yield each


def _subjects(figures: Rows) -> list[str]:
    return list(dict.fromkeys(each["subject"] for each in figures))


def _figure(figure: Mapping[str, Any]) -> dict[str, Any]:
    low, high = figure["low"], figure["high"]
    about = f" {figure['about']}" if figure["about"] else ""
    return {
        "figure": f"{figure['subject']} {figure['metric'].replace('_', ' ')}{about}",
        "as of": figure["as_of"],
        "value": "" if figure["value"] is None else f"{figure['value']:,.4g}",
        "interval": "" if low is None or high is None else f"{low:.3g} to {high:.3g}",
        "rows": figure["n"],
        "verdict": figure["verdict"] if figure["verdict"] != "ok" else "",
    }


def _alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {"severity": alert["severity"], "as of": alert["as_of"], "what": alert["title"]}


def _listed(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "alert": alert["alert"],
        "rule": alert["rule"],
        "version": alert["version"],
        "as of": alert["as_of"],
        "state": alert["severity"] if alert["open"] else "closed",
    }


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    detail = event["detail"]
    told = detail.get("reason") or detail.get("title") or detail.get("error") or detail.get("flow_run")
    if event["event"] == "handled":
        told = f"version {detail['version']} {'promoted' if detail['promoted'] else 'not promoted'}"
    return {"at": event["at"], "event": event["event"], "by": event["actor"], "what": told}


def _last(alert: Mapping[str, Any]) -> Mapping[str, Any]:
    detail: Mapping[str, Any] = alert["history"][-1]["detail"]
    return detail
