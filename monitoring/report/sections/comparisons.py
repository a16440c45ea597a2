"""Served values beside the offline ones, and the scores of a challenger beside the champion's."""

from collections.abc import Sequence

from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.charts.over_time import Line, lines_over_time
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import is_share, moment, told
from monitoring.report.sections.performance import points_of, windows_of
from monitoring.report.sections.section import Cell, Chart, Section, Table, line_legend, value_cells, verdict_cell

FINDINGS = {
    "same": "served and offline values are the same",
    "late-data": "late data or a correction",
    "store-behind": "the online store was behind",
    "future-value": "a value from the future",
    "serving-bug": "a serving bug",
    "unknown-value": "a value that no offline row ever had",
    "training-leak": "a leak in training",
}
SHADOW = {
    "failed": "failed",
    "decisions_differ": "decisions that differ",
    "score_difference": "mean difference of the scores",
    "score_shift": "mean change of the score",
    "difference_explained": "share of the difference explained",
    "psi": "PSI of the scores",
}


def audit(evidence: Evidence) -> Section:
    """The findings of the newest audited window; windows before in the table."""
    figures = evidence.of(Subject.AUDIT)
    if not figures:
        return Section("audit", "Audit of served values", ["Not audited yet: run `python -m flows audit`."])
    newest = evidence.newest(Subject.AUDIT)
    found = [each for each in newest if each.metric != "same" and each.value]
    bad = [each for each in found if each.verdict is Verdict.ALARM]
    told_of = "; ".join(f"{FINDINGS.get(each.metric, each.metric)} {told(each)}" for each in found) or "nothing differs"
    lead = [
        f"Values that were served, beside the offline ones, {moment(newest[0].as_of)}: {told_of}.",
        *(["An error: served values were not what they should be." if bad else ""] if bad else []),
    ]
    rows = [
        [
            Cell(FINDINGS.get(each.metric, each.metric)),
            Cell(moment(each.as_of)),
            Cell(each.version),
            *value_cells(each),
            verdict_cell(each),
        ]
        for each in reversed(figures)
    ]
    columns = ("finding", "window", "version", "share of values", "95 % interval", "n", "verdict")
    return Section(
        "audit", "Audit of served values", lead, tables=[Table("Audit, each window", columns, rows, open=True)]
    )


def shadow(evidence: Evidence) -> Section:
    """What a challenger would have answered."""
    figures = evidence.of(Subject.SHADOW)
    if not figures:
        return Section("shadow", "Shadow", ["No challenger was compared."])
    newest = evidence.newest(Subject.SHADOW)
    said = "; ".join(f"{_title(each)} {told(each)}" for each in newest if not each.about)
    small = [_chart(evidence, name) for name in dict.fromkeys(each.metric for each in figures if not each.about)]
    versions = [name for name in evidence.versions if any(each.version == name for each in figures)]
    legend = line_legend([(evidence.versions.index(name), f"version {name}") for name in versions])
    rows = [
        [Cell(_title(each)), Cell(moment(each.as_of)), Cell(each.version), *value_cells(each), verdict_cell(each)]
        for each in reversed(figures)
    ]
    columns = ("figure", "window", "challenger", "value", "95 % interval", "n", "verdict")
    lead = [f"Version {newest[0].version} beside the version that answers, {moment(newest[0].as_of)}: {said}."]
    return Section(
        "shadow", "Shadow", lead, small=small, tables=[Table("Shadow, each window", columns, rows)], legend=legend
    )


def _title(figure: Figure) -> str:
    return _named(figure.metric) + (f", {figure.about}" if figure.about else "")


def _named(metric: str) -> str:
    return SHADOW.get(metric, metric.replace("_", " ").replace("auc", "AUC"))


def _chart(evidence: Evidence, metric: str) -> Chart:
    figures: Sequence[Figure] = [each for each in evidence.of(Subject.SHADOW, metric) if not each.about]
    figures = figures or evidence.of(Subject.SHADOW, metric)
    lines = [
        Line(version, points_of(each for each in figures if each.version == version), place)
        for place, version in enumerate(evidence.versions)
    ]
    drawn = lines_over_time(
        f"{_named(metric)} over time", windows_of(figures), lines, size=(328, 180), percent=is_share(figures[0])
    )
    return Chart(_named(metric)[:1].upper() + _named(metric)[1:], drawn)
