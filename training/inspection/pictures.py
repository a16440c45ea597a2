"""An Examination -> PNG pictures of its newest months: what changed, what moved, what tells the label."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from asof.extract_schema import Kind
from training.inspection.checks.drift import LARGE_PSI, Shift, shifts
from training.inspection.checks.leaks import TOO_GOOD, single_features
from training.inspection.checks.unchanged import changed_shares
from training.inspection.examination import Examination
from training.inspection.month import Pair, pair_of, table_of
from training.metrics.plots import BLUE, GREY, INK, RED, canvas, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MOVED = 2
BARS = 24
"""The most columns that a picture shows."""


def pictures(examination: Examination) -> dict[str, bytes]:
    """Title -> PNG; those that need labels or a month before are left out where these are not there."""
    drawn = {"label rate": _label_rate(examination)}
    if len(examination.newest) == 2:
        pair = pair_of(*examination.newest)
        moved = shifts(pair)
        drawn |= {"last month's model": _carried(examination), "changed values": _changed(pair, examination)}
        drawn |= {"drift": _moved(moved)}
        drawn |= {name: _distributions(pair, name) for name in _furthest(pair, moved)}
    drawn["single columns"] = _alone(examination)
    return {title: picture for title, picture in drawn.items() if picture}


def _label_rate(examination: Examination) -> bytes | None:
    labelled = [(month, month.label_rate) for month in examination.months if month.label_rate is not None]
    if not labelled:
        return None
    rates = np.array([rate for _, rate in labelled])
    margins = 1.96 * np.sqrt(rates * (1 - rates) / np.array([month.labels for month, _ in labelled]))
    figure, axes = canvas("Label rate, with 95 % intervals", "", "Positives, %")
    days = [str(month.as_of.date()) for month, _ in labelled]
    axes.errorbar(days, 100 * rates, yerr=100 * margins, fmt="o", color=BLUE, capsize=4)
    for place, rate in enumerate(rates):
        axes.annotate(f"{rate:.2%}", (place, 100 * rate), (8, 0), textcoords="offset points", fontsize=8, color=INK)
    axes.set_ylim(0, max(1.0, 130 * float((rates + margins).max())))
    axes.set_xlim(-0.5, len(days) - 0.5 + 0.3)
    axes.tick_params(axis="x", labelrotation=30 if len(days) > 4 else 0)
    return png(figure)


def _carried(examination: Examination) -> bytes | None:
    """Only where the concept has changed: the finding holds the figures."""
    newest = examination.months[-1].as_of
    found = [each for each in examination.seen if each.finding.kind == "concept" and newest in each.months]
    if not found:
        return None
    figures = found[0].finding.figures
    figure, axes = canvas("Last month's model on held-out users", "", "AUC, with its 95 % interval")
    for place, side in enumerate(("before", "after")):
        value = figures[f"auc_{side}"]
        bounds = [[value - figures[f"{side}_low"]], [figures[f"{side}_high"] - value]]
        axes.errorbar([place], [value], yerr=bounds, fmt="o", color=(BLUE, RED)[place], capsize=4)
        axes.annotate(f"{value:.3f}", (place, value), (8, 0), textcoords="offset points", fontsize=9, color=INK)
    axes.axhline(0.5, color=GREY, linestyle="--")
    axes.set_xticks([0, 1], [f"{month.as_of.date()}" for month in examination.months[-2:]])
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(0.3, 1)
    return png(figure)


def _changed(pair: Pair, examination: Examination) -> bytes | None:
    """Red: a column, or one of a table, that should have changed and has not."""
    named = {each.finding.place for each in examination.seen if each.finding.kind in ("unchanged", "stands-still")}
    shares = {name: 100 * share for name, share in changed_shares(pair).items()}
    marked = {name for name in shares if shares[name] == 0 and {name, table_of(name)} & named}
    return _bars("Values that changed since the month before", "% of entities in both", shares, marked=marked)


def _moved(moved: Mapping[str, Shift]) -> bytes | None:
    sizes = {name: shift.psi.size for name, shift in moved.items()}
    marked = {name for name, shift in moved.items() if shift.large}
    return _bars("Drift of the inputs", f"PSI (from {LARGE_PSI} on it is large)", sizes, marked=marked, limit=LARGE_PSI)


def _furthest(pair: Pair, moved: Mapping[str, Shift]) -> list[str]:
    numbers = [name for name in pair.features(Kind.INTEGER, Kind.NUMBER) if name in moved]
    return sorted(numbers, key=lambda name: -moved[name].psi.size)[:MOST_MOVED]


def _distributions(pair: Pair, name: str) -> bytes:
    before, after = (values[~np.isnan(values)] for values in pair.numbers(name))
    low, high = np.quantile(np.concatenate([before, after]), [0.001, 0.999])
    whole = pair.after.columns[name].kind is Kind.INTEGER and high - low < 40
    edges = np.arange(low - 0.5, high + 1.5) if whole else np.linspace(low, max(high, low + 1e-9), 41)
    figure, axes = canvas(name, "", "Share of the entities, %")
    for values, month, colour in ((before, pair.before, GREY), (after, pair.after, BLUE)):
        shares = 100 * np.histogram(values, edges)[0] / max(values.size, 1)
        filled, label = month is pair.before, str(month.as_of.date())
        axes.stairs(shares, edges, fill=filled, color=colour, label=label, linewidth=1.6)
    axes.legend(frameon=False)
    return png(figure)


def _alone(examination: Examination) -> bytes | None:
    month = next((month for month in reversed(examination.newest) if month.label), None)
    if month is None:
        return None
    areas = {name: each.auc for name, each in single_features(month).items()}
    marked = {name for name, area in areas.items() if area > TOO_GOOD}
    title = f"One column alone, {month.as_of.date()}"
    return _bars(
        title, f"AUC (chance 0.5; suspect from {TOO_GOOD} on)", areas, marked=marked, limit=TOO_GOOD, start=0.5
    )


def _bars(
    title: str,
    across: str,
    values: Mapping[str, float],
    *,
    marked: Collection[str],
    limit: float | None = None,
    start: float = 0.0,
) -> bytes | None:
    """Horizontal bars, the longest at the top; those that are marked are red."""
    names = sorted(values, key=lambda name: values[name])[-BARS:]
    if not names:
        return None
    figure, axes = canvas(title, across, "")
    figure.set_size_inches(7.6, 1.5 + 0.24 * len(names))
    lengths = [values[name] - start for name in names]
    bars = axes.barh(names, lengths, left=start, color=[RED if name in marked else BLUE for name in names])
    axes.bar_label(bars, [f"{values[name]:.3g}" for name in names], padding=3, fontsize=8, color=INK)
    _colour_names(axes, names, marked)
    axes.set_xlim(start, start + 1.15 * max(1e-3, *lengths, (limit or start) - start))
    if limit is not None:
        axes.axvline(limit, color=RED, linewidth=0.8, linestyle="--")
    axes.grid(visible=False, axis="y")
    return png(figure)


def _colour_names(axes: "Axes", names: Collection[str], marked: Collection[str]) -> None:
    for name, text in zip(names, axes.get_yticklabels(), strict=True):
        text.set_fontsize(8)
        text.set_color(RED if name in marked else INK)
