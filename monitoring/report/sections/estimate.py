"""What was estimated before outcomes were known, beside what they then showed. Never without its condition."""

from monitoring.records.figure import Figure, Subject
from monitoring.report.charts.over_time import Line, lines_over_time
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import moment, told
from monitoring.report.sections.performance import first_capital, main_metrics, points_of, title_of, windows_of
from monitoring.report.sections.section import Cell, Chart, Section, Table, both, numeric, value_cells, verdict_cell

CONDITION = "If the concept holds: an estimate cannot see that outcomes follow from features in another way now."
HOW = "Hollow marks on a dashed line were estimated; filled ones were found on outcomes afterwards."


def estimated(evidence: Evidence) -> Section:
    """The metric that names a version first."""
    figures = evidence.of(Subject.ESTIMATED)
    if not figures:
        return Section("estimated", "Estimated performance", ["Nothing was estimated."])
    conditions = dict.fromkeys(map(condition_of, figures))
    names = sorted({each.metric for each in figures}, key=lambda name: (name not in main_metrics(evidence), name))
    return Section(
        "estimated",
        "Estimated performance",
        [*conditions, HOW],
        [_chart(evidence, each) for each in names],
        tables=[_table(evidence, each) for each in names],
    )


def condition_of(figure: Figure) -> str:
    """The condition on which an estimate holds."""
    return str(figure.detail.get("condition") or CONDITION)


def _chart(evidence: Evidence, metric: str) -> Chart:
    guessed, found = evidence.of(Subject.ESTIMATED, metric), evidence.of(Subject.PERFORMANCE, metric)
    lines = [
        Line(f"{name}, version {version}", points, evidence.versions.index(version), dashed=name == "estimated")
        for version in evidence.versions
        for name, figures in (("estimated", guessed), ("found", found))
        if (points := points_of(each for each in figures if each.version == version))
    ]
    title = f"{title_of(metric)}, estimated and found"
    windows = windows_of([*guessed, *found])
    wide, narrow = both(lambda width: lines_over_time(title, windows, lines, size=(width, 240)))
    return Chart(first_capital(title), wide, narrow)


def _table(evidence: Evidence, metric: str) -> Table:
    found = {(each.version, each.as_of): each for each in evidence.of(Subject.PERFORMANCE, metric)}
    rows = []
    for each in reversed(evidence.of(Subject.ESTIMATED, metric)):
        later = found.get((each.version, each.as_of))
        known = told(later) if later else "no mature outcomes yet"
        cells = [Cell(moment(each.as_of)), Cell(each.version), *value_cells(each), numeric(known), verdict_cell(each)]
        rows.append(cells)
    columns = ("window", "version", "estimated", "95 % interval", "n", "found on outcomes", "verdict")
    return Table(f"{first_capital(title_of(metric))}: estimated if the concept holds, and found", columns, rows)
