"""The results as Markdown, ratios first, and as rows for the terminal."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.online_store.peers import PEERS, PREPARED, QUERY, STOCK
from benchmarks.online_store.reading import HMGET, READERS
from benchmarks.reporting import machine_line, markdown_table, short

Results = dict[str, Any]
RUNS = {"again": "nothing new, s", "one in a hundred": "1 in 100 new, s"}
MATERIALISE = (
    "users", "who", "of stock's rows/s", "of bare's seconds, query", "of bare's seconds, COPY", "rows/s", "seconds",
    "of these in the engine",
    "peak MiB", *RUNS.values(), "rows touched: whole, nothing new, 1 in 100",
)  # fmt: skip
READS = (
    "users asked for",
    "who",
    "times faster than stock",
    "of the bare SELECT's time",
    "of Redis's HMGETs'",
    "p50 ms",
    "p99 ms",
    "calls",
)
SUMMARY = ("what", "users", "who", "of stock", "of bare's time", "median", "peak MiB")


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each peer and size, as wide as a terminal."""
    rows = []
    for users, who, rate, by_query, _, _, seconds, _, peak, *_ in _materialise(results["materialise"]):
        cells = ("materialise", users, who, rate, by_query, f"{seconds} s", peak)
        rows.append(dict(zip(SUMMARY, cells, strict=True)))
    for entities, who, faster, bare, _, median, *_ in _reads(results["reads"]):
        cells = ("read", entities, who, faster, bare, f"{median} ms", "-")
        rows.append(dict(zip(SUMMARY, cells, strict=True)))
    return rows


def markdown(results: Results) -> str:
    effort = results["effort"]
    parts = [
        f"{machine_line(results['machine'])}; {effort['rounds']} rounds, medians",
        "## Materialise StreamFlow's five views\n\n"
        + markdown_table(MATERIALISE, _materialise(results["materialise"])),
        f"With more than {effort['most_slow']:,} users, the stock store's rows/s are those of that many."
        " The rest is Feast's registry, in which each view is recorded twice; our engine does the second one itself.",
        "## Read all features of random users\n\n" + markdown_table(READS, _reads(results["reads"])),
    ]
    if results["left_out"]:
        parts.append(f"Left out: {results['left_out']}")
    return "\n\n".join(parts) + "\n"


def _materialise(runs: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    sizes = sorted({run["users"] for run in runs})
    seconds = {(run["peer"], run["users"]): _of(runs, run, "whole") for run in runs}
    views = {run["users"]: run["rows"] for run in runs}
    rates = {key: views[key[1]] / each for key, each in seconds.items()}
    for users in sizes:
        stock = max((size for size in sizes if size <= users and (STOCK, size) in rates), default=None)
        for name, peer in PEERS.items():
            if (name, users) not in rates:
                continue
            own = [run for run in runs if run["peer"] == name and run["users"] == users]
            yield [
                f"{users:,}",
                peer.title,
                short(rates[name, users] / rates[STOCK, stock]) if stock else "-",
                *(short(seconds[name, users] / seconds[bare, users]) for bare in (QUERY, PREPARED)),
                short(rates[name, users]),
                short(seconds[name, users]),
                short(statistics.median(run["engine_s"] for run in own)) if peer.online else "-",
                max(run["peak_mib"] for run in own),
                *(short(_of(runs, own[0], title)) for title in RUNS),
                " / ".join(f"{own[-1][title]['touched']:,}" for title in ("whole", *RUNS)),
            ]


def _of(runs: Sequence[Mapping[str, Any]], like: Mapping[str, Any], title: str) -> float:
    """The median of the seconds of one peer at one size."""
    own = (run for run in runs if (run["peer"], run["users"]) == (like["peer"], like["users"]))
    return float(statistics.median(run[title]["seconds"] for run in own))


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], float]:
    """Milliseconds by reader and number of users."""
    keys = {(run["reader"], run["entities"]) for run in runs}
    return {
        key: statistics.median(run["p50_ms"] for run in runs if (run["reader"], run["entities"]) == key) for key in keys
    }


def _reads(runs: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    times = medians(runs)
    for entities in sorted({run["entities"] for run in runs}):
        for reader, (title, _) in READERS.items():
            if (reader, entities) not in times:
                continue
            hmget = times.get((HMGET, entities))
            own = [run for run in runs if (run["reader"], run["entities"]) == (reader, entities)]
            tails = [run["p99_ms"] for run in own if run["p99_ms"]]
            yield [
                f"{entities:,}",
                title,
                short(times["stock", entities] / times[reader, entities]),
                short(times[reader, entities] / times["wide-select", entities]),
                short(times[reader, entities] / hmget if hmget else None),
                short(times[reader, entities]),
                short(statistics.median(tails)) if tails else "-",
                sum(run["calls"] for run in own),
            ]
