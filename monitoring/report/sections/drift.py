"""Inputs and scores beside those of the training set: each feature, all together, and the scores."""

from collections.abc import Sequence
from datetime import datetime

from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.charts.over_time import Line, lines_over_time
from monitoring.report.charts.shares import shares
from monitoring.report.charts.svg import tag
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import counted, is_share, moment, number, told
from monitoring.report.sections.performance import points_of, windows_of
from monitoring.report.sections.section import (
    SAID,
    Cell,
    Chart,
    Legend,
    Section,
    Table,
    numeric,
    p_cell,
    value_cells,
    verdict_cell,
)

MOST_WINDOWS = 12
"""Columns of the table of all features and windows."""
ORDER = (Verdict.ALARM, Verdict.NOTICE, Verdict.OK, Verdict.TOO_FEW)
SCORES = {"psi": "PSI of the scores", "mean": "mean score", "share_over_threshold": "share over the threshold"}


def drift(evidence: Evidence) -> Section:
    """Each feature in the newest window of the version in Production; the table has the windows before."""
    figures = _of_version(evidence, Subject.DRIFT)
    if not figures:
        return Section("drift", "Drift of the inputs", ["Nothing was compared yet."])
    newest = sorted((each for each in figures if each.as_of == figures[-1].as_of), key=_worst_first)
    large = [each.about for each in newest if each.verdict is Verdict.ALARM]
    few = sum(each.verdict is Verdict.TOO_FEW for each in newest)
    lead = [
        f"Version {newest[0].version}, {moment(newest[0].as_of)}, beside its training set: "
        f"{len(large)} of {counted(len(newest), 'feature')} {'differs' if len(large) == 1 else 'differ'}"
        f"{': ' + ', '.join(large) if large else ''}{f'; of {few} there are too few rows to say' if few else ''}.",
        "Drift of the inputs alone is no reason to retrain: the model may be as right as before.",
    ]
    small = [_small(each) for each in newest if _has_bins(each)]
    return Section(
        "drift",
        "Drift of the inputs",
        [*lead, *_joint(evidence)],
        small=small,
        tables=[_newest(newest), _history(figures), *_joint_table(evidence)],
        legend=[_swatch("before", "training"), _swatch("s0", f"now, {moment(newest[0].as_of)}")] if small else [],
    )


def scores(evidence: Evidence) -> Section:
    """The scores beside those of held-out rows."""
    figures = _of_version(evidence, Subject.SCORE_SHIFT)
    if not figures:
        return Section("scores", "Drift of the scores", ["Nothing was compared yet."])
    newest = [each for each in figures if each.as_of == figures[-1].as_of]
    said = "; ".join(f"{_score_title(each)} {told(each)}{_before(each)}" for each in newest)
    lead = [f"Version {newest[0].version}, {moment(newest[0].as_of)}: {said}."]
    small = [_small(each, "scores") for each in newest if _has_bins(each)]
    small += [_score_chart(evidence, name) for name in dict.fromkeys(each.metric for each in figures)]
    legend = [_swatch("before", "held-out rows"), _swatch("s0", "now")] if any(map(_has_bins, newest)) else []
    return Section("scores", "Drift of the scores", lead, small=small, tables=[_score_table(figures)], legend=legend)


def _of_version(evidence: Evidence, subject: Subject) -> list[Figure]:
    """Those of the version in Production; where it has none yet, of the version with the newest."""
    if own := evidence.of(subject, version=evidence.version):
        return own
    found = evidence.of(subject)
    return [each for each in found if each.version == found[-1].version]


def _worst_first(figure: Figure) -> tuple[int, float, str]:
    return ORDER.index(figure.verdict), -(figure.value or 0.0), figure.about


def _has_bins(figure: Figure) -> bool:
    lists = [figure.detail.get(name) for name in ("bins", "expected", "observed")]
    return (
        all(isinstance(each, Sequence) and not isinstance(each, str) for each in lists)
        and bool(lists[0])
        and len({len(each) for each in lists if each is not None}) == 1
    )


def _small(figure: Figure, name: str = "") -> Chart:
    detail = figure.detail
    drawn = shares(
        name or figure.about,
        [str(each) for each in detail["bins"]],
        _known(detail["expected"]),
        _known(detail["observed"]),
    )
    return Chart(name or figure.about, drawn, note=f"PSI {told(figure)}", verdict=figure.verdict.value)


def _known(values: Sequence[float | None]) -> list[float]:
    return [float(each or 0.0) for each in values]


def _swatch(kind: str, name: str) -> Legend:
    box = tag("rect", x=2, y=1, width=12, height=12, class_=f"bar {kind}")
    return Legend(tag("svg", box, viewBox="0 0 16 14", width="16", height="14", aria_hidden="true"), name)


def _newest(figures: Sequence[Figure]) -> Table:
    rows = [[Cell(each.about, "code"), *value_cells(each), p_cell(each), verdict_cell(each)] for each in figures]
    columns = ("feature", "PSI", "95 % interval", "n", "p, Holm", "verdict")
    return Table(f"Drift of each feature, {moment(figures[0].as_of)}", columns, rows, open=True)


def _history(figures: Sequence[Figure]) -> Table:
    windows = windows_of(figures)[-MOST_WINDOWS:]
    by_place = {(each.about, each.as_of): each for each in figures}
    names = sorted({each.about for each in figures})
    rows = [[Cell(name, "code"), *(_psi(by_place.get((name, each))) for each in windows)] for name in names]
    return Table(
        f"PSI of each feature, the newest {counted(len(windows), 'window')}", ("feature", *map(moment, windows)), rows
    )


def _psi(figure: Figure | None) -> Cell:
    if figure is None:
        return numeric("none")
    sign = {Verdict.OK: ""}.get(figure.verdict, f" {SAID[figure.verdict]}")
    return Cell(f"{number(figure.value)}{sign}", f"number {figure.verdict.value}-text")


def _joint(evidence: Evidence) -> list[str]:
    figures = _of_version(evidence, Subject.JOINT_SHIFT)[-1:]
    return [
        f"All features together, training or now ({moment(each.as_of)}): AUC {told(each)}, "
        f"where 0.5 is no difference; {SAID[each.verdict]}."
        for each in figures
    ]


def _joint_table(evidence: Evidence) -> list[Table]:
    figures = evidence.of(Subject.JOINT_SHIFT)
    rows = [
        [Cell(moment(each.as_of)), Cell(each.version), *value_cells(each), p_cell(each), verdict_cell(each)]
        for each in reversed(figures)
    ]
    columns = ("window", "version", "AUC", "95 % interval", "n", "p", "verdict")
    return [Table("All features together, each window", columns, rows)] if rows else []


def _score_title(figure: Figure) -> str:
    return SCORES.get(figure.metric, figure.metric.replace("_", " ")) + (f" of {figure.about}" if figure.about else "")


def _before(figure: Figure) -> str:
    before = figure.detail.get("training")
    return f", {number(before, percent=is_share(figure))} at training" if isinstance(before, int | float) else ""


def _score_chart(evidence: Evidence, metric: str) -> Chart:
    figures = evidence.of(Subject.SCORE_SHIFT, metric)
    lines = [
        Line(version, points_of(each for each in figures if each.version == version), place)
        for place, version in enumerate(evidence.versions)
    ]
    title = SCORES.get(metric, metric.replace("_", " "))
    windows: list[datetime] = windows_of(figures)
    drawn = lines_over_time(f"{title} over time", windows, lines, size=(328, 180), percent=is_share(figures[0]))
    return Chart(title[:1].upper() + title[1:], drawn)


def _score_table(figures: Sequence[Figure]) -> Table:
    rows = [
        [
            Cell(moment(each.as_of)),
            Cell(each.version),
            Cell(_score_title(each)),
            *value_cells(each),
            numeric(_before(each).removeprefix(", ").removesuffix(" at training") or "none"),
            verdict_cell(each),
        ]
        for each in reversed(figures)
    ]
    columns = ("window", "version", "figure", "value", "95 % interval", "n", "at training", "verdict")
    return Table("Scores, each window", columns, rows)
