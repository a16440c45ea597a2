"""Results -> Markdown, ratios first, and rows for the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.serving.catalogue import ASOF, EMPTY, USUAL, USUAL_ONE
from benchmarks.serving.connection import LOST
from benchmarks.serving.samples import UNANSWERED, UNSENT

Results = dict[str, Any]
OF = {
    USUAL: "of usual, n_jobs=-1",
    USUAL_ONE: "of usual, n_jobs=1",
    EMPTY: "of empty BentoML",
    ASOF: "of AsOf, forest",
}
MEANINGS = {str(LOST): "connection lost", str(UNANSWERED): "unanswered", str(UNSENT): "no connection free"}
TOO_FEW = {"p99_ms": 100, "p999_ms": 1000}
"""A percentile of fewer requests than this is a dash: it would be the greatest of them, by another name."""

LATENCIES = {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "p999_ms": "p99.9 ms"}
COSTS = ("errors", "CPU s per 1,000", "PostgreSQL's", "the load's share of a core")
LOOP_COLUMNS = ("peer", "clients", *OF.values(), "requests/s", *LATENCIES.values(), *COSTS)
START_COLUMNS = ("peer", "s to the first answer", "MiB a worker", "MiB in all")
BARE_COLUMNS = ("model", "rows", "predictions/s", "p50 ms", "p99 ms")
OPEN_COSTS = ("shed", "failed", "sent late by, p99 ms")
OPEN_COLUMNS = ("peer", "of its capacity", "offered/s", "accepted/s", *LATENCIES.values(), *OPEN_COSTS)


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each peer and number of clients, as wide as a terminal."""
    shown = ("peer", "clients", *OF.values(), "requests/s", "p50 ms", "p99 ms")
    rows = (dict(zip(LOOP_COLUMNS, row, strict=True)) for row in _loops(results))
    return [{name: row[name] for name in shown} for row in rows]


def written(results: Results) -> str:
    """The Markdown."""
    parts = [
        _machine(results["machine"]),
        "## Closed loops\n\n" + _table(LOOP_COLUMNS, _loops(results)),
        "## Start and memory\n\n" + _table(START_COLUMNS, _starts(results)),
        "## The model alone\n\n" + _table(BARE_COLUMNS, _bare(results)),
        "## Open loops\n\n" + _table(OPEN_COLUMNS, _open(results)),
    ]
    for name, title in (("tail", "The tail"), ("overload", "Three times the capacity")):
        if name in results:
            parts.append(f"## {title}\n\n" + _table(("figure", "value"), _plain(results[name])))
    return "\n\n".join(parts) + "\n"


def is_known(row: Mapping[str, Any], name: str) -> bool:
    """Whether there are enough requests behind a percentile."""
    return bool(row["accepted"] >= TOO_FEW.get(name, 1))


def _machine(told: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    commit = f"commit {told['commit'][:8]}{' and changes' if told['dirty'] else ''}"
    where = f"{told['processor']}, {told['cores']} cores, {told['system']}, Python {told['python']}"
    return f"{where}; {versions}; {commit}, {told['date']}; load before {told['load_before']:.2f}"


def _loops(results: Results) -> Iterator[list[Any]]:
    every = [(row, loop) for row in results["closed"] for loop in row["loops"]]
    rates = {(row["name"], loop["clients"]): loop["requests_per_second"] for row, loop in every}
    for row, loop in every:
        rate, clients = loop["requests_per_second"] or None, loop["clients"]  # nothing came in time: no rate
        yield [
            row["title"],
            clients,
            *(_ratio(rate, rates.get((name, clients))) for name in OF),
            _short(rate),
            *(_percentile(loop, name) for name in LATENCIES),
            _errors(loop["errors"], loop["requests"]),
            _short(loop["cpu_s_per_1000"]),
            _short(loop["postgres_cpu_s_per_1000"]),
            _short(loop["generator"]["share_of_a_core"]),
        ]


def _starts(results: Results) -> Iterator[list[Any]]:
    for row in results["closed"]:
        yield [row["title"], row["start_s"], row["worker_mib"], row["whole_mib"]]


def _bare(results: Results) -> Iterator[list[Any]]:
    for variant, kinds in results["bare"].items():
        for kind, told in kinds.items():
            yield [variant, kind, told["requests_per_second"], told["p50_ms"], told["p99_ms"]]


def _open(results: Results) -> Iterator[list[Any]]:
    titles = {row["name"]: row["title"] for row in results["closed"]}
    for row in results["open"]:
        rates = (row["share"], _short(row["rate"]), _short(row["accepted_per_second"]))
        percentiles = (_percentile(row, name) for name in LATENCIES)
        yield [titles[row["name"]], *rates, *percentiles, row["shed"], row["failed"], row["lag"]["p99_ms"]]


def _plain(told: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, value in told.items():
        if name == "errors":
            yield [name, _errors(value, told["requests"])]
        elif isinstance(value, dict):
            yield from ([f"{name}: {part}", found] for part, found in value.items())
        elif not isinstance(value, list):
            yield [name, value]


def _errors(errors: Mapping[str, int], requests: int) -> str:
    told = ", ".join(f"{count} x {MEANINGS.get(status, status)}" for status, count in errors.items())
    return f"{told} of {requests}" if told else "0"


def _percentile(row: Mapping[str, Any], name: str) -> str:
    return _short(row[name]) if is_known(row, name) else "-"


def _ratio(rate: float | None, of: float | None) -> str:
    return _short(rate / of) if rate and of else "-"


def _short(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(columns: Sequence[str], rows: Iterator[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
