"""Plots rows a second by peer and size, and milliseconds of a read by reader and size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.online_store.peers import PEERS
from benchmarks.online_store.reading import READERS
from benchmarks.online_store.report import medians

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(results: dict[str, Any], into: Path) -> None:
    """Writes online_store.png."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _materialise(left, results["materialise"])
    _reads(right, results["reads"])
    figure.savefig(into / "online_store.png", dpi=120)
    pyplot.close(figure)


def _materialise(axes: "Axes", runs: list[dict[str, Any]]) -> None:
    for name, peer in PEERS.items():
        sizes = sorted({run["users"] for run in runs if run["peer"] == name})
        best = [
            max(run["rows"] / run["whole"]["seconds"] for run in runs if (run["peer"], run["users"]) == (name, size))
            for size in sizes
        ]
        axes.plot(sizes, best, marker="o", label=peer.title)
    axes.set(xscale="log", yscale="log", xlabel="users", ylabel="rows a second", title="materialise five views")
    axes.legend(fontsize="small")


def _reads(axes: "Axes", runs: list[dict[str, Any]]) -> None:
    times = medians(runs)
    for reader, (title, _) in READERS.items():
        sizes = sorted({entities for name, entities in times if name == reader})
        axes.plot(sizes, [times[reader, size] for size in sizes], marker="o", label=title)
    axes.set(xscale="log", yscale="log", xlabel="users of one read", ylabel="milliseconds", title="read all features")
    axes.legend(fontsize="small")
