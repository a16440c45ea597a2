"""An Examination -> a self-contained HTML page, with plots of its newest months."""

import base64
from collections.abc import Collection, Mapping

import numpy as np

from asof.extracts.cadence import moment_text
from asof.extracts.schema import Kind
from training.inspection.checks.changes.drift import LARGE_PSI, Shift, shifts
from training.inspection.checks.changes.unchanged import changed_shares
from training.inspection.checks.labels.leaks import single_features
from training.inspection.examination import Examination, FindingRecord
from training.inspection.finding import Severity
from training.inspection.month import Pair, pair_of, table_of
from training.metrics.plots import BLUE, GREY, INK, RED, canvas, png

MAX_DISTRIBUTIONS = 2
MAX_BARS = 24


def page(examination: Examination, title: str) -> str:
    """The page as HTML: findings by severity, and plots of the newest months."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    template = Environment(
        loader=PackageLoader("training.inspection", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("page.html")
    return template.render(
        title=title,
        examination=examination,
        counts={severity: len(_of(examination, severity)) for severity in Severity},
        groups=[(severity, _of(examination, severity)) for severity in Severity if _of(examination, severity)],
        pictures={name: base64.b64encode(png).decode() for name, png in pictures(examination).items()},
    )


def _of(examination: Examination, severity: Severity) -> list[FindingRecord]:
    return [each for each in examination.findings if each.finding.severity is severity]


def pictures(examination: Examination) -> dict[str, bytes]:
    """Title -> PNG; without labels or an earlier month, the plots that need them are left out."""
    drawn = {"label rate": _label_rate(examination)}
    if len(examination.newest) == 2:
        pair = pair_of(*examination.newest)
        moved = shifts(pair)
        drawn |= {
            "the earlier model": _quality_change(examination),
            "changed values": _changed_values(pair, examination),
        }
        drawn |= {"drift": _drift(moved)}
        numbers = [name for name in pair.features(Kind.INTEGER, Kind.NUMBER) if name in moved]
        furthest = sorted(numbers, key=lambda name: -moved[name].psi.size)[:MAX_DISTRIBUTIONS]
        drawn |= {name: _distributions(pair, name) for name in furthest}
    drawn["single columns"] = _single_columns(examination)
    return {title: picture for title, picture in drawn.items() if picture}


def _label_rate(examination: Examination) -> bytes | None:
    labelled = [(month, month.label_rate) for month in examination.months if month.label_rate is not None]
    if not labelled:
        return None
    rates = np.array([rate for _, rate in labelled])
    margins = 1.96 * np.sqrt(rates * (1 - rates) / np.array([month.labels for month, _ in labelled]))
    figure, axes = canvas("Label rate, with 95 % intervals", "", "Positives, %")
    days = [moment_text(month.as_of) for month, _ in labelled]
    axes.errorbar(days, 100 * rates, yerr=100 * margins, fmt="o", color=BLUE, capsize=4)
    for x, rate in enumerate(rates):
        axes.annotate(f"{rate:.2%}", (x, 100 * rate), (8, 0), textcoords="offset points", fontsize=8, color=INK)
    axes.set_ylim(0, max(1.0, 130 * float((rates + margins).max())))
    axes.set_xlim(-0.5, len(days) - 0.5 + 0.3)
    axes.tick_params(axis="x", labelrotation=30 if len(days) > 4 else 0)
    return png(figure)


def _quality_change(examination: Examination) -> bytes | None:
    """Only where the concept has changed, with the figures of that finding."""
    newest = examination.months[-1].as_of
    records = [each for each in examination.findings if each.finding.kind == "concept" and newest in each.months]
    if not records:
        return None
    figures = records[0].finding.figures
    names = {side: next(name for name in figures if name.endswith(f"_{side}")) for side in ("before", "after")}
    title = names["before"].removesuffix("_before").replace("_", " ").replace("auc", "AUC")
    figure, axes = canvas("The earlier model on held-out users", "", f"{title}, with its 95 % interval")
    for x, side in enumerate(("before", "after")):
        value = figures[names[side]]
        bounds = [[value - figures[f"{side}_low"]], [figures[f"{side}_high"] - value]]
        axes.errorbar([x], [value], yerr=bounds, fmt="o", color=(BLUE, RED)[x], capsize=4)
        axes.annotate(f"{value:.3f}", (x, value), (8, 0), textcoords="offset points", fontsize=9, color=INK)
    if "AUC" in title:
        axes.axhline(0.5, color=GREY, linestyle="--")
        axes.set_ylim(0.3, 1)
    axes.set_xticks([0, 1], [moment_text(month.as_of) for month in examination.months[-2:]])
    axes.set_xlim(-0.5, 1.5)
    return png(figure)


def _changed_values(pair: Pair, examination: Examination) -> bytes | None:
    """Columns that should have changed and have not are red."""
    named = {
        each.finding.subject for each in examination.findings if each.finding.kind in ("unchanged", "stands-still")
    }
    shares = {name: 100 * share for name, share in changed_shares(pair).items()}
    marked = {name for name in shares if shares[name] == 0 and {name, table_of(name)} & named}
    return _bars("Values that changed since the extract before", "% of entities in both", shares, marked=marked)


def _drift(moved: Mapping[str, Shift]) -> bytes | None:
    sizes = {name: shift.psi.size for name, shift in moved.items()}
    marked = {name for name, shift in moved.items() if shift.large}
    return _bars("Drift of the inputs", f"PSI (from {LARGE_PSI} on it is large)", sizes, marked=marked, limit=LARGE_PSI)


def _distributions(pair: Pair, name: str) -> bytes:
    before, after = (values[~np.isnan(values)] for values in pair.numbers(name))
    low, high = np.quantile(np.concatenate([before, after]), [0.001, 0.999])
    whole = pair.after.columns[name].kind is Kind.INTEGER and high - low < 40
    edges = np.arange(low - 0.5, high + 1.5) if whole else np.linspace(low, max(high, low + 1e-9), 41)
    figure, axes = canvas(name, "", "Share of the entities, %")
    for values, month, colour in ((before, pair.before, GREY), (after, pair.after, BLUE)):
        shares = 100 * np.histogram(values, edges)[0] / max(values.size, 1)
        filled, label = month is pair.before, moment_text(month.as_of)
        axes.stairs(shares, edges, fill=filled, color=colour, label=label, linewidth=1.6)
    axes.legend(frameon=False)
    return png(figure)


def _single_columns(examination: Examination) -> bytes | None:
    month = next((month for month in reversed(examination.newest) if month.label), None)
    if month is None:
        return None
    areas = {name: each.auc for name, each in single_features(month).items()}
    limit = month.rules.leak_auc
    marked = {name for name, area in areas.items() if area > limit}
    title = f"One column alone, {moment_text(month.as_of)}"
    return _bars(title, f"AUC (chance 0.5; suspect from {limit} on)", areas, marked=marked, limit=limit, start=0.5)


def _bars(
    title: str,
    across: str,
    values: Mapping[str, float],
    *,
    marked: Collection[str],
    limit: float | None = None,
    start: float = 0.0,
) -> bytes | None:
    """Horizontal bars, the longest at the top; marked ones are red."""
    names = sorted(values, key=lambda name: values[name])[-MAX_BARS:]
    if not names:
        return None
    figure, axes = canvas(title, across, "")
    figure.set_size_inches(7.6, 1.5 + 0.24 * len(names))
    lengths = [values[name] - start for name in names]
    bars = axes.barh(names, lengths, left=start, color=[RED if name in marked else BLUE for name in names])
    axes.bar_label(bars, [f"{values[name]:.3g}" for name in names], padding=3, fontsize=8, color=INK)
    for name, text in zip(names, axes.get_yticklabels(), strict=True):
        text.set_fontsize(8)
        text.set_color(RED if name in marked else INK)
    axes.set_xlim(start, start + 1.15 * max(1e-3, *lengths, (limit or start) - start))
    if limit is not None:
        axes.axvline(limit, color=RED, linewidth=0.8, linestyle="--")
    axes.grid(visible=False, axis="y")
    return png(figure)
