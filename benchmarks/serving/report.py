"""Results -> Markdown, ratios first, and rows for the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.serving.catalogue import EMPTY, USUAL, USUAL_ONE

Results = dict[str, Any]
OF = {USUAL: "of usual, n_jobs=-1", USUAL_ONE: "of usual, n_jobs=1", EMPTY: "of empty BentoML"}
TOO_FEW = {"p99_ms": 100, "p999_ms": 1000}
"""A percentile of fewer requests than this is a dash: it would be the greatest of them, by another name."""

LOOP_COLUMNS = (
    "peer",
    "clients",
    *OF.values(),
    "requests/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "errors",
    "CPU s per 1,000",
)
LOOP_COLUMNS = (*LOOP_COLUMNS, "PostgreSQL's", "the load's share of a core")


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each peer and number of clients."""
    return [dict(zip(LOOP_COLUMNS, row, strict=True)) for row in _loops(results)]


def written(results: Results) -> str:
    """The Markdown."""
    machine = results["machine"]
    heads = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, {machine['date']}, "
        f"commit {machine['commit'][:8]}{' and changes' if machine['dirty'] else ''}; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        "## Closed loops\n\n" + _table(LOOP_COLUMNS, _loops(results)),
        "## Start and memory\n\n"
        + _table(("peer", "s to the first answer", "MiB a worker", "MiB in all"), _starts(results)),
        "## The model alone\n\n" + _table(("model", "rows", "predictions/s", "p50 ms", "p99 ms"), _bare(results)),
    ]
    if results.get("open"):
        heads.append("## Open loops\n\n" + _table(OPEN_COLUMNS, _open(results)))
    for part, title in (("tail", "The tail"), ("overload", "Three times the capacity")):
        if part in results:
            heads.append(f"## {title}\n\n" + _table(("figure", "value"), _plain(results[part])))
    return "\n\n".join(heads) + "\n"


def _loops(results: Results) -> Iterator[list[Any]]:
    rates = {
        (row["name"], loop["clients"]): loop["requests_per_second"]
        for row in results["closed"]
        for loop in row["loops"]
    }
    for row in results["closed"]:
        for loop in row["loops"]:
            rate, clients = loop["requests_per_second"], loop["clients"]
            yield [
                row["title"],
                clients,
                *(_ratio(rate, rates.get((name, clients))) for name in OF),
                _short(rate),
                *(_percentile(loop, name) for name in ("p50_ms", "p99_ms", "p999_ms")),
                _errors(loop),
                loop["cpu_s_per_1000"],
                _dash(loop["postgres_cpu_s_per_1000"]),
                loop["generator"]["share_of_a_core"],
            ]


def _starts(results: Results) -> Iterator[list[Any]]:
    for row in results["closed"]:
        yield [row["title"], row["start_s"], row["worker_mib"], row["whole_mib"]]


def _bare(results: Results) -> Iterator[list[Any]]:
    for variant, kinds in results["bare"].items():
        for kind, told in kinds.items():
            yield [variant, kind, told["requests_per_second"], told["p50_ms"], told["p99_ms"]]


OPEN_COLUMNS = (
    "peer",
    "of its capacity",
    "offered/s",
    "accepted/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "shed",
    "failed",
    "sent late by, p99 ms",
)


def _open(results: Results) -> Iterator[list[Any]]:
    titles = {row["name"]: row["title"] for row in results["closed"]}
    for row in results["open"]:
        percentiles = (_percentile(row, name) for name in ("p50_ms", "p99_ms", "p999_ms"))
        counts = (row["shed"], row["failed"], row["lag"]["p99_ms"])
        yield [
            titles[row["name"]],
            row["share"],
            _short(row["rate"]),
            _short(row["accepted_per_second"]),
            *percentiles,
            *counts,
        ]


def _plain(told: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, value in told.items():
        if not isinstance(value, list):
            yield [name, value]


def _errors(loop: Mapping[str, Any]) -> str:
    told = ", ".join(f"{count} x {status}" for status, count in loop["errors"].items())
    return f"{told} of {loop['requests']}" if told else "0"


def _percentile(row: Mapping[str, Any], name: str) -> str:
    return _short(row[name]) if row["accepted"] >= TOO_FEW.get(name, 1) else "-"


def _ratio(rate: float, of: float | None) -> str:
    return f"{_short(rate / of)}" if of else "-"


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _dash(value: Any) -> Any:
    return "-" if value is None else value


def _table(columns: Sequence[str], rows: Iterator[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
