"""Plots requests a second by peer, and latency by offered rate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serving.report import LATENCIES, is_known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"usual": "#b0483a", "part": "#c9973a", "guide": "#8a6db0", "ceiling": "#9aa3ab", "asof": "#1f77b4"}
CLIENTS = 32


def draw(results: dict[str, Any], into: Path) -> None:
    """Writes throughput.png, and latency.png where open loops were measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = results["closed"]
    figure, axes = pyplot.subplots(figsize=(10, 1.5 + 0.32 * len(rows)), layout="constrained")
    _throughput(axes, rows)
    figure.savefig(into / "throughput.png", dpi=120)
    pyplot.close(figure)
    if results.get("open"):
        names = list(dict.fromkeys(row["name"] for row in results["open"]))
        figure, (grid,) = pyplot.subplots(
            1, len(names), figsize=(4.5 * len(names), 4), layout="constrained", squeeze=False
        )
        for axes, name in zip(grid, names, strict=True):
            title = next(row["title"] for row in rows if row["name"] == name)
            _latency(axes, title, [row for row in results["open"] if row["name"] == name])
        figure.savefig(into / "latency.png", dpi=120)
        pyplot.close(figure)


def _throughput(axes: "Axes", rows: list[dict[str, Any]]) -> None:
    """A bar for each peer at 32 clients, or the nearest measured number."""
    loops = [min(row["loops"], key=lambda loop: abs(loop["clients"] - CLIENTS)) for row in rows]
    rates = [loop["requests_per_second"] for loop in loops]
    bars = axes.barh([row["title"] for row in rows], rates, color=[COLOURS[row["kind"]] for row in rows])
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=4)
    axes.set(xscale="log", xlim=(1, 3 * max(rates)), xlabel=f"requests a second, {CLIENTS} clients (logarithmic)")
    axes.invert_yaxis()


def _latency(axes: "Axes", title: str, rows: list[dict[str, Any]]) -> None:
    for name, label in LATENCIES.items():
        known = [row for row in rows if is_known(row, name)]
        axes.plot([row["rate"] for row in known], [row[name] for row in known], marker="o", label=label)
    axes.set(
        title=title.replace(", ", "\n", 1),
        xlabel="requests a second offered",
        ylabel="ms from the due time",
        yscale="log",
    )
    axes.legend()
