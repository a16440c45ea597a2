"""The screen of `flows shadow`."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.screens.screen import Screen, cell, count

SHOWN = 5


def shadow_screen(done: Mapping[str, Any]) -> Screen:
    """How often the decisions differ, by how much the predictions do, where, and what outcomes say."""
    counts, apart, outcomes = done["tally"], done["differences"], done["outcomes"]
    differing = done["differing"]
    scored = count(counts["scored"], "answer")
    headline = f"Version {done['challenger']} beside version {done['champion']}: {scored} scored"
    if differing:
        headline += f", {differing['value']:.2%} decided otherwise"
    median, ninety, ninety_nine, most = map(cell, apart["quantiles"])
    return Screen(
        f"{headline}.",
        {
            "from": counts["first"],
            "to": counts["last"],
            "failed at": counts["failed"] or None,
            "decisions differ": f"{counts['differing']:,}, {_percents(differing)}" if differing else None,
            "predictions differ": [
                f"{cell(apart['mean'])} on average",
                f"median {median}, 90 % {ninety}, 99 % {ninety_nine}, most {most}",
            ],
            "shift of predictions": _interval(apart["shift"]),
            "PSI of predictions": apart["psi"],
            "outcomes": _known(outcomes),
            "not compared": [f"answers of version {each}" for each in done["others"]],
            "the gate lacks": done["lacks"],
        },
        {
            "Where they differ most": [_where(each) for each in done["where"][:SHOWN]],
            "On outcomes, better by": [_gain(*each) for each in outcomes["gains"].items()],
            "Criteria of the gate, on these outcomes": [
                {"criterion": each["name"], "holds": each["passed"], "because": each["reason"]}
                for each in outcomes["criteria"]
            ],
        },
        well=not done["lacks"] and not counts["failed"],
    )


def _known(outcomes: Mapping[str, Any]) -> str:
    share = outcomes["mature"] / outcomes["answers"]
    return f"{outcomes['mature']:,} of these answers have one that counts ({share:.0%})"


def _percents(share: Mapping[str, float]) -> str:
    return f"{share['value']:.2%} ({share['low']:.2%} to {share['high']:.2%})"


def _interval(estimate: Mapping[str, float] | None) -> str | None:
    return None if estimate is None else f"{estimate['value']:+.4f} ({estimate['low']:+.4f} to {estimate['high']:+.4f})"


def _where(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "feature": each["feature"],
        "explains": f"{each['explained']:.1%}",
        "most at": each["bin"],
        "by": each["difference"],
        "answers": each["rows"],
    }


def _gain(metric: str, estimate: Mapping[str, float]) -> dict[str, Any]:
    return {"metric": metric, "by": f"{estimate['value']:+.4f}", "from": estimate["low"], "to": estimate["high"]}
