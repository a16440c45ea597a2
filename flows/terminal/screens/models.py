"""Screens of the commands on models: training, promotion, scoring, history, Bentos and images."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, cell, count

METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "coverage": "outcomes within their interval",
}
"""Those of every target; a version has the metrics of its own."""


def retrain_screen(result: Mapping[str, Any]) -> Screen:
    version, outcome = result["version"], result["promotion"]
    facts, metrics = version["facts"], version["metrics"]
    judged = promotion_screen(outcome) if outcome else None
    name = f"{version['name']} version {version['version']}"
    return Screen(
        judged.headline if judged else f"{name} is registered; it was not judged.",
        {
            "run": version["run_id"],
            "features and labels": f"as of {cell(facts['as_of'])}, known at {cell(facts['known_at'])}",
            "training set": f"{facts['fingerprint'][:12]}, {metrics['rows_train']:,.0f} rows",
            **{title: _metric(metrics, metric) for metric, title in METRICS.items() if metric in metrics},
        },
        {"Data checks": [each for each in result["inspection"] if each["severity"] != "info"]}
        | (dict(judged.tables) if judged else {}),
        well=judged is None or judged.well,
    )


def _metric(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    bounds = "" if low is None or high is None else f" (95 % interval {low:.4f} to {high:.4f})"
    return f"{metrics[name]:.4f}{bounds}"


def bom_screen(result: Mapping[str, Any]) -> Screen:
    """The digests are in the file."""
    return Screen(
        f"The bill of materials of {result['model']} version {result['version']} is written.",
        {"file": result["file"], "data": f"{len(result['data'])} with a digest"},
    )


def promotion_screen(outcome: Mapping[str, Any]) -> Screen:
    """The verdict, and the criteria with their reasons, which repeat their figures."""
    name, previous, criteria = (
        f"{outcome['name']} version {outcome['version']}",
        outcome["previous"],
        outcome["criteria"],
    )
    failed = [each["name"] for each in criteria if not each["passed"]]
    if outcome["promoted"]:
        headline = f"{name} is in Production" + (f"; before: version {previous}." if previous else ".")
    elif failed:
        stays = f"version {previous} stays" if previous else "nothing is in Production"
        headline = f"{name} was not promoted, {stays}. Failed: {', '.join(failed)}."
    else:
        headline = f"{name} would be promoted: every criterion passes."
    rows = [{"criterion": each["name"], "passed": each["passed"], "reason": each["reason"]} for each in criteria]
    return Screen(headline, tables={"Criteria": rows}, well=not failed)


def reproduction_screen(result: Mapping[str, Any]) -> Screen:
    rebuilt = result["rebuilt"]
    differences = rebuilt["differences"] or {"first": (), "cells_changed": {}}
    rows = {name.replace("_", " "): value for name, value in differences.items() if name.startswith("rows_")}
    changed = [each for each in result["environment"] if each["changed"]]
    notes = [*result["not_compared"], *rebuilt["not_compared"]]
    return Screen(
        f"{result['name']} version {result['version']}: {result['verdict']}",
        {"not compared": notes, "greatest difference of a prediction": _exact(result["greatest_difference"]), **rows},
        {
            "Checks": _in_full(result["checks"]),
            "Definition, - then, + now": [{"line": line} for line in rebuilt["definition"]],
            "Cells that differ": [
                {"column": name, "cells": number} for name, number in differences["cells_changed"].items()
            ],
            "First differing cells": _in_full(differences["first"]),
            "Metrics that differ": _in_full(result["metrics"]),
            "Environment that changed": [
                {name: value for name, value in each.items() if name != "changed"} for each in changed
            ],
        },
        well=result["agrees"],
    )


def _in_full(rows: Any) -> list[dict[str, Any]]:
    return [{name: _exact(value) for name, value in row.items()} for row in rows]


def _exact(value: Any) -> Any:
    """A float with all its digits: what differs may differ in the last one."""
    return repr(value) if isinstance(value, float) else value


def scoring_screen(done: Mapping[str, Any]) -> Screen:
    answered = {each["outcome"]: each["users"] for each in done["outcomes"]}
    speed = f" in {done['seconds']:.1f} s, {done['users_per_second']:,} users/s" if done["new"] else "; nothing to do"
    return Screen(
        f"{answered['scored']:,} of {count(done['users'], 'user')} scored{speed}.",
        {
            "model": f"{done['model']} version {done['version']}",
            "as of": done["as_of"],
            "known at": done["known_at"],
            "to": done["to"],
            "run": done["run_id"],
            "flagged": done["flagged"],
        },
        {"Outcomes": done["outcomes"]},
    )


def rollback_screen(done: Mapping[str, Any]) -> Screen:
    name, previous = f"{done['name']} version {done['version']}", done["previous"]
    stayed = previous == done["version"]
    headline = (
        f"{name} was in Production already." if stayed else f"{name} is in Production; before: version {previous}."
    )
    return Screen(headline, next_step="" if stayed else done["next"])


def acceptance_screen(done: Mapping[str, Any]) -> Screen:
    pairs = done["accepted"]
    rows = [{name: each[name] for name in ("view", "trained", "registered", "changes", "reason")} for each in pairs]
    return Screen(f"Accepted {count(len(pairs), 'definition')} as equivalent.", tables={"Accepted": rows})


def history_screen(report: Mapping[str, Any]) -> Screen:
    """The entries without evidence and hashes."""
    entries = report["entries"]
    names = ("seq", "event", "version", "who", "reason")
    current = f"version {entries[-1]['version']} is in Production" if entries else "no version was ever in Production"
    chain = (
        f"the history of {count(len(entries), 'entry', 'entries')} is intact"
        if report["intact"]
        else "the history was rewritten"
    )
    return Screen(
        f"{report['model']}: {current}; {chain}.",
        {"rewritten": report["findings"], "MLflow": report["mlflow"] or "agrees"},
        {
            "Entries": [
                {"at": f"{each['at']:%Y-%m-%d %H:%M}"} | {name: each[name] for name in names} for each in entries
            ]
        },
        well=report["intact"],
    )


def bundle_screen(built: Mapping[str, Any]) -> Screen:
    tag, made = built["bento_tag"], "is built" if built["created"] else "exists already"
    facts = {"model": built.get("model_tag", "none: it serves the version in Production"), "run": built.get("run_id")}
    return Screen(f"Bento {tag} {made}.", facts, next_step=f"bentoml serve {tag}")


def image_screen(built: Mapping[str, Any]) -> Screen:
    return Screen(f"The image of {built['bento']} is built.", {"names": built["names"], "engine": built["engine"]})
