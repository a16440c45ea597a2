"""Screens of the commands on extracts, snapshots and the online store."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from flows.terminal.screens.screen import Rows, Screen, cell, count
from training.features.parity.verdicts import Verdict


def simulation_screen(done: Mapping[str, Any]) -> Screen:
    plan, rates = done["plan"], done["leaving_rates"]
    months = f"{plan['users']:,} users in {plan['months']} months until {plan['last_as_of']}"
    return Screen(
        f"Simulated {months}." if done["written"] else f"Nothing to do: these extracts exist ({months}).",
        {"folder": done["folder"], "leaving": f"{min(rates):.1%} to {max(rates):.1%} a month"},
        next_step=done["next"],
    )


def ingest_screen(result: Mapping[str, Any]) -> Screen:
    """The loads with new rows, the views that were written, and the differences of the online store, if any."""
    deliveries = [
        {"delivery": each["folder"], "as of": each["as_of"]}
        | {"rows": sum(each["rows"].values()), "new rows": sum(each["new_rows"].values())}
        for each in result["deliveries"]
    ]
    loaded = [each for each in deliveries if each["new rows"]]
    new = sum(each["new rows"] for each in loaded)
    written = [
        {"view": each["view"], "entities": each["entities"], "seconds": f"{each['seconds']:.1f}"}
        for each in result["online"]["refreshes"]
        if each["entities"]
    ]
    parity = parity_screen(result["parity"])
    return Screen(
        f"Loaded {count(new, 'new row')} of {count(len(loaded), 'delivery', 'deliveries')}."
        if loaded
        else "Nothing new: every delivery is loaded.",
        {"online store": f"as of {result['online']['as_of']:%Y-%m-%d %H:%M} UTC", "parity": parity.headline},
        {"Loaded": loaded, "Written to the online store": written, **parity.tables},
        well=not result["parity"]["wrong"] and not result["parity"]["misfit"],
    )


def parity_screen(result: Mapping[str, Any]) -> Screen:
    """Only the features that differ, with the verdicts that occur."""
    verdicts = [verdict for verdict in Verdict if any(row[verdict] for row in result["features"])]
    features = [
        {"feature": f"{row['view']}:{row['feature']}", "type": row["type"]}
        | {str(each): row[each] for each in verdicts}
        for row in result["features"]
        if any(row[verdict] for verdict in verdicts if verdict is not Verdict.EQUAL)
    ]
    tables = {"Features that differ": features, "Examples": _examples(result["examples"])}
    return Screen(result["summary"], tables=tables, well=result["agrees"])


def _examples(examples: Iterable[Mapping[str, Any]]) -> Rows:
    return [
        {name: each[name] for name in ("verdict", "entity", "feature")}
        | {side: _stored(each[side], each[f"{side}_as_of"]) for side in ("offline", "online")}
        for each in examples
    ]


def _stored(value: Any, as_of: datetime | None) -> str:
    return f"{value} as of {cell(as_of)}" if as_of else "no row"


def inspection_screen(result: Mapping[str, Any]) -> Screen:
    """The findings, without their evidence."""
    months = [month | {"label_rate": _percent(month["label_rate"])} for month in result["months"]]
    findings = [{"severity": _severity(each), "finding": _description(each)} for each in result["findings"]]
    stops = result["stops"]
    return Screen(
        f"Training would stop: {', '.join(stops)}."
        if stops
        else f"Nothing stops training; {count(len(findings), 'finding')}.",
        {"page": result["page"]},
        {"Moments": months, "Findings": findings},
        well=not stops,
    )


def _severity(finding: Mapping[str, Any]) -> str:
    return f"{finding['severity']}\n(acknowledged)" if finding["acknowledged"] else str(finding["severity"])


def _description(finding: Mapping[str, Any]) -> str:
    to_do = "" if finding["severity"] == "info" else f"\n-> {finding['to do']}"
    return f"{finding['name']}\n{finding['found']}{to_do}\n"


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def lake_screen(done: Mapping[str, Any]) -> Screen:
    tables = {"Rows": [{"part": name, "rows": rows} for name, rows in done["rows"].items()]}
    facts = {"folder": done["folder"], "known at": done["known_at"]}
    return Screen(f"Wrote {count(sum(done['rows'].values()), 'row')}.", facts, tables, next_step=done["next"])


def switch_screen(done: Mapping[str, Any]) -> Screen:
    compared = f"{done['values']:,} values of {done['users']:,} users agree in both stores."
    facts = {
        "before": done["before"],
        "as of": done["as_of"],
        "previous tables": "dropped" if done["dropped"] else "kept",
    }
    return Screen(f"The online store is {done['after']}: {compared}", facts, next_step=done["next"])


def months_screen(done: Mapping[str, Any]) -> Screen:
    """The months that were dropped or would be, and the versions that rest on them."""
    months, broken = done["months"], sorted({each for month in done["months"] for each in month["breaks"].values()})
    if not months:
        return Screen(f"Nothing to drop: no month of {done['use_case']} ended before {done['before']:%Y-%m-%d}.")
    rows = [
        {
            "partition": each["partition"],
            "MB": round(each["bytes"] / 1e6),
            "rows": "" if each["rows"] is None else each["rows"],
            "versions that rest on it": ", ".join(each["breaks"].values()),
        }
        for each in months
    ]
    facts = {"cannot be reproduced without them": ", ".join(broken)}
    verb = "Would drop" if done["dry_run"] else "Dropped"
    return Screen(f"{verb} {count(len(months), 'month of a table', 'months of tables')}.", facts, {"Months": rows})
