"""Performance on mature outcomes over time, by version, beside the interval at promotion."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.charts.over_time import Band, Event, Line, Point, lines_over_time
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import counted, interval, is_share, moment, number, told
from monitoring.report.sections.section import (
    Cell,
    Chart,
    Section,
    Table,
    both,
    line_legend,
    numeric,
    value_cells,
    verdict_cell,
)

SHORT = {
    "auc": "AUC",
    "macro_auc": "macro AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "base_rate": "base rate",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
}
CHANCE = {"auc": 0.5, "macro_auc": 0.5}


def performance(evidence: Evidence) -> Section:
    """The metric that names a version first, the others beside each other below."""
    figures = evidence.of(Subject.PERFORMANCE)
    if not figures:
        return Section("performance", "Performance", ["No outcomes are mature yet, so nothing is known of it."])
    names = sorted({each.metric for each in figures}, key=lambda name: (name not in main_metrics(evidence), name))
    charts = [_chart(evidence, name) for name in names]
    return Section(
        "performance",
        "Performance",
        [
            "On mature outcomes alone. A band is the 95 % interval at promotion, on held-out rows; "
            "a vertical line marks the first window of a promoted version.",
        ],
        charts[:1],
        charts[1:],
        [_versions(evidence), *(_table(evidence, name) for name in names)],
    )


def main_metrics(evidence: Evidence) -> tuple[str, str]:
    """The names of the metric that names a version, as training and monitoring call it."""
    return evidence.metric, f"macro_{evidence.metric}"


def title_of(metric: str) -> str:
    """A metric's name in a sentence."""
    return SHORT.get(metric, metric.replace("_", " "))


def at_promotion(figure: Figure) -> tuple[float, float, float] | None:
    """Value and interval of the same metric at promotion, None where they are not known."""
    found = figure.detail.get("promotion")
    if isinstance(found, Sequence) and len(found) == 3 and all(isinstance(each, int | float) for each in found):
        return float(found[0]), float(found[1]), float(found[2])
    return None


def points_of(figures: Iterable[Figure]) -> list[Point]:
    """Points of a line; a figure without a value has none."""
    return [
        Point(
            each.as_of,
            each.value,
            f"{moment(each.as_of)}, version {each.version}: {told(each)}",
            each.low,
            each.high,
            hollow=each.verdict is Verdict.TOO_FEW,
            ringed=each.verdict is Verdict.ALARM,
        )
        for each in figures
        if each.value is not None
    ]


def promotion_events(evidence: Evidence) -> list[Event]:
    """A mark at the first window of each promoted version; of one that came back, at the first window since."""
    marks, seen = [], set()
    for entry in evidence.promotions:
        own = [each.as_of for each in evidence.of(Subject.VOLUME, "answers", entry.version)]
        if entry.version in seen:
            own = [each for each in own if each >= entry.at]
        if entry.version is None or not own:
            continue
        seen.add(entry.version)
        says = f"version {entry.version}, {entry.event} {moment(entry.at)} by {entry.who}: {entry.reason}"
        marks.append(Event(min(own), f"v{entry.version}", says))
    return sorted(marks, key=lambda each: each.at)


def windows_of(figures: Iterable[Figure]) -> list[datetime]:
    """Their windows, oldest first."""
    return sorted({each.as_of for each in figures})


def _chart(evidence: Evidence, metric: str) -> Chart:
    figures = evidence.of(Subject.PERFORMANCE, metric)
    versions = [version for version in evidence.versions if any(each.version == version for each in figures)]
    lines = [
        Line(
            f"version {name}",
            points_of(each for each in figures if each.version == name),
            evidence.versions.index(name),
        )
        for name in versions
    ]
    bands = [band for name in versions for band in _band(evidence, name, figures)]
    title = f"{title_of(metric)} over time, {counted(len(versions), 'version')}"
    windows = evidence.windows  # also those without outcomes: a version may be new
    small = metric not in main_metrics(evidence)
    wide, narrow = both(
        lambda width: lines_over_time(
            title,
            windows,
            lines,
            size=(width, 200 if small else 330 if width > 600 else 260),
            bands=bands,
            events=promotion_events(evidence) if not small else (),
            percent=is_share(figures[0]),
        )
    )
    legend = line_legend([(evidence.versions.index(name), f"version {name}") for name in versions])
    if small:
        return Chart(first_capital(title_of(metric)), narrow)
    return Chart(first_capital(title_of(metric)), wide, narrow, legend=legend)


def _band(evidence: Evidence, version: str, figures: Sequence[Figure]) -> Iterable[Band]:
    own = [each for each in figures if each.version == version]
    known = next((found for each in reversed(own) if (found := at_promotion(each))), None)
    if known:
        value, low, high = known
        says = f"version {version} at promotion: {number(value)} ({interval(low, high)})"
        yield Band(own[0].as_of, own[-1].as_of, value, low, high, evidence.versions.index(version), says)


def _versions(evidence: Evidence) -> Table:
    rows = [
        [
            Cell(entry.version or "none"),
            Cell(str(entry.event)),
            Cell(moment(entry.at)),
            Cell(entry.who),
            Cell(entry.reason),
        ]
        for entry in reversed(evidence.promotions)
    ]
    return Table("Promotions and rollbacks", ("version", "what", "when", "by", "why"), rows)


def _table(evidence: Evidence, metric: str) -> Table:
    rows = []
    for each in reversed(evidence.of(Subject.PERFORMANCE, metric)):
        promoted = at_promotion(each)
        before = f"{number(promoted[0])} ({interval(*promoted[1:])})" if promoted else "not known"
        rows.append(
            [Cell(moment(each.as_of)), Cell(each.version), *value_cells(each), numeric(before), verdict_cell(each)]
        )
    columns = ("window", "version", title_of(metric), "95 % interval", "n", "at promotion", "verdict")
    return Table(f"{first_capital(title_of(metric))}, each window", columns, rows)


def first_capital(words: str) -> str:
    """The words as a heading."""
    return words[:1].upper() + words[1:]
