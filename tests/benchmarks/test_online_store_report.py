"""The report of the online store's benchmark: ratios to the stock store and to bare SQL."""

from typing import Any

from benchmarks.online_store.report import markdown, summary_rows

MACHINE = {
    "processor": "p", "cores": 2, "system": "s", "python": "3", "commit": "c" * 40, "dirty": False, "date": "d",
    "load_before": 0.0,
}  # fmt: skip


def run(peer: str, users: int, seconds: float) -> dict[str, Any]:
    part = {"seconds": seconds, "touched": 5 * users}
    runs = {"whole": part, "again": part, "one in a hundred": part}
    return {"peer": peer, "users": users, "rows": 5 * users, "engine_s": seconds, "peak_mib": 200, **runs}


def read(reader: str, milliseconds: float) -> dict[str, Any]:
    return {"reader": reader, "entities": 256, "p50_ms": milliseconds, "p99_ms": None, "calls": 7}


def results() -> dict[str, Any]:
    """The stock store is not measured with a million."""
    materialise = [
        run("stock", 1_000, 2.0), run("ours", 1_000, 0.1),
        run("bare-query", 1_000, 0.05), run("bare-copy", 1_000, 0.04),
        run("ours", 1_000_000, 40.0), run("bare-query", 1_000_000, 20.0), run("bare-copy", 1_000_000, 16.0),
    ]  # fmt: skip
    reads = [
        read("stock", 40.0), read("stock-async", 50.0), read("ours", 20.0), read("ours-async", 25.0),
        read("arrays", 2.0), read("wide-select", 1.0),
    ]  # fmt: skip
    return {
        "machine": MACHINE,
        "effort": {"rounds": 1, "most_slow": 1_000},
        "left_out": "Feast's Redis store: there is none.",
        "materialise": materialise,
        "reads": reads,
    }


def test_sizes_without_the_stock_store_are_compared_by_rows_a_second() -> None:
    (million,) = [row for row in summary_rows(results()) if (row["users"], row["of stock"]) == ("1,000,000", "50.0")]
    assert (million["who"], million["of bare's time"]) == ("our store, our engine", "2.00")


def test_reads_are_multiples_of_the_stock_stores() -> None:
    rows = {row["who"]: row for row in summary_rows(results()) if row["what"] == "read"}
    assert (rows["our array reader"]["of stock"], rows["our array reader"]["of bare's time"]) == ("20.0", "2.00")


def test_figures_are_medians_of_the_rounds() -> None:
    told = results()
    told["materialise"] += [run("ours", 1_000, 0.2), run("ours", 1_000, 9.0)]
    assert "| 1,000 | our store, our engine | 10.0 |" in markdown(told)


def test_what_is_left_out_is_reported() -> None:
    assert "Left out: Feast's Redis store: there is none." in markdown(results())
