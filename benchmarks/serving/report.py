"""The results as Markdown, ratios first, and as rows for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.reporting import machine_line, markdown_table, short
from benchmarks.serving.load.connection import LOST
from benchmarks.serving.load.samples import UNANSWERED, UNSENT
from benchmarks.serving.setup.catalogue import ASOF, EMPTY, USUAL, USUAL_ONE

Results = dict[str, Any]
REFERENCES = {
    USUAL: "of usual, n_jobs=-1",
    USUAL_ONE: "of usual, n_jobs=1",
    EMPTY: "of empty BentoML",
    ASOF: "of AsOf, forest",
}
STATUSES = {str(LOST): "connection lost", str(UNANSWERED): "unanswered", str(UNSENT): "no connection free"}
MIN_REQUESTS = {"p99_ms": 100, "p999_ms": 1000}
"""A percentile of fewer requests is a dash: it would be their maximum."""

LATENCIES = {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "p999_ms": "p99.9 ms"}
COSTS = ("errors", "CPU s per 1,000", "PostgreSQL's", "cores: peer, PostgreSQL, load", "cores in all")
LOOP_COLUMNS = ("peer", "clients", *REFERENCES.values(), "requests/s", *LATENCIES.values(), *COSTS)
START_COLUMNS = ("peer", "s to the first answer", "MiB a worker", "MiB in all")
BARE_COLUMNS = ("model", "rows", "predictions/s", "p50 ms", "p99 ms")
OPEN_COSTS = ("shed", "failed", "sent late by, p99 ms")
OPEN_COLUMNS = ("peer", "of its capacity", "offered/s", "accepted/s", *LATENCIES.values(), *OPEN_COSTS)


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each peer and number of clients, as wide as a terminal."""
    shown = ("peer", "clients", *REFERENCES.values(), "requests/s", "p50 ms", "p99 ms")
    rows = (dict(zip(LOOP_COLUMNS, row, strict=True)) for row in _loops(results))
    return [{name: row[name] for name in shown} for row in rows]


def markdown(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["machine"]["versions"].items())
    parts = [
        f"{machine_line(results['machine'])}; {versions}",
        "## Closed loops\n\n" + markdown_table(LOOP_COLUMNS, _loops(results)),
        "## Start and memory\n\n" + markdown_table(START_COLUMNS, _starts(results)),
        "## The model alone\n\n" + markdown_table(BARE_COLUMNS, _bare(results)),
        "## Open loops\n\n" + markdown_table(OPEN_COLUMNS, _open(results)),
    ]
    for name, title in (("tail", "The tail"), ("overload", "Three times the capacity")):
        if name in results:
            parts.append(f"## {title}\n\n" + markdown_table(("figure", "value"), _plain(results[name])))
    if results["left_out"]:
        parts.append("## Left out\n\n" + markdown_table(("peer", "reason"), _left_out(results)))
    return "\n\n".join(parts) + "\n"


def _left_out(results: Results) -> Iterator[list[Any]]:
    """The first line of each reason; an error of a start has the ends of the logs after it."""
    for title, reason in results["left_out"].items():
        yield [title, reason.partition("\n")[0][:300]]


def is_known(row: Mapping[str, Any], name: str) -> bool:
    """Whether there are enough requests for a percentile."""
    return bool(row["accepted"] >= MIN_REQUESTS.get(name, 1))


def _loops(results: Results) -> Iterator[list[Any]]:
    every = [(row, loop) for row in results["closed"] for loop in row["loops"]]
    rates = {(row["name"], loop["clients"]): loop["requests_per_second"] for row, loop in every}
    for row, loop in every:
        rate, clients = loop["requests_per_second"] or None, loop["clients"]  # 0: no rate
        yield [
            row["title"],
            clients,
            *(_ratio(rate, rates.get((name, clients))) for name in REFERENCES),
            short(rate),
            *(_percentile(loop, name) for name in LATENCIES),
            _errors(loop["errors"], loop["requests"]),
            short(loop["cpu_s_per_1000"]),
            short(loop["postgres_cpu_s_per_1000"]),
            *_cores(loop),
        ]


def _cores(loop: Mapping[str, Any]) -> tuple[str, str]:
    """The CPU seconds a second of the peer, PostgreSQL and the load, and their sum: it ends at those of the machine."""
    thousands = loop["requests_per_second"] / 1000
    peer, database = (thousands * (loop[name] or 0) for name in ("cpu_s_per_1000", "postgres_cpu_s_per_1000"))
    parts = (peer, database, loop["generator"]["share_of_a_core"])
    return ", ".join(map(short, parts)), short(sum(parts))


def _starts(results: Results) -> Iterator[list[Any]]:
    for row in results["closed"]:
        yield [row["title"], row["start_s"], row["worker_mib"], row["whole_mib"]]


def _bare(results: Results) -> Iterator[list[Any]]:
    for variant, kinds in results["bare"].items():
        for kind, row in kinds.items():
            yield [variant, kind, row["requests_per_second"], row["p50_ms"], row["p99_ms"]]


def _open(results: Results) -> Iterator[list[Any]]:
    titles = {row["name"]: row["title"] for row in results["closed"]}
    for row in results["open"]:
        rates = (row["share"], short(row["rate"]), short(row["accepted_per_second"]))
        percentiles = (_percentile(row, name) for name in LATENCIES)
        yield [titles[row["name"]], *rates, *percentiles, row["shed"], row["failed"], row["lag"]["p99_ms"]]


def _plain(row: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, value in row.items():
        if name == "errors":
            yield [name, _errors(value, row["requests"])]
        elif isinstance(value, dict):
            yield from ([f"{name}: {part}", each] for part, each in value.items())
        elif not isinstance(value, list):
            yield [name, value]


def _errors(errors: Mapping[str, int], requests: int) -> str:
    counts = ", ".join(f"{count} x {STATUSES.get(status, status)}" for status, count in errors.items())
    return f"{counts} of {requests}" if counts else "0"


def _percentile(row: Mapping[str, Any], name: str) -> str:
    return short(row[name]) if is_known(row, name) else "-"


def _ratio(rate: float | None, of: float | None) -> str:
    return short(rate / of) if rate and of else "-"
