"""What was answered, and what is known of it: shares of maturity, volumes and refusals, missing and stale verdicts."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from monitoring.records.figure import Figure, Subject
from monitoring.report.charts.over_time import Line, Stack, bars_over_time, lines_over_time
from monitoring.report.charts.svg import SERIES, tag
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import moment, number, share, told
from monitoring.report.sections.performance import points_of, windows_of
from monitoring.report.sections.section import Cell, Chart, Legend, Section, Table, both, value_cells, verdict_cell

MATURITY = ("mature_share", "waiting_share", "incomplete_share", "unlabelled_share")
MEANING = {
    "mature_share": "mature: it counts",
    "waiting_share": "waiting: the horizon has not ended, or no outcome yet",
    "incomplete_share": "incomplete: not all labels of the moment are known",
    "unlabelled_share": "unlabelled: they are, and it has none",
}
MOST_DRAWN = 12
"""Features whose verdicts are drawn; the table has all."""


def maturity(evidence: Evidence) -> Section:
    """Shares of predictions by what is known of their outcome."""
    figures = evidence.of(Subject.MATURITY)
    if not figures:
        return Section("maturity", "Mature outcomes", ["Nothing was counted yet."])
    windows = windows_of(figures)
    stacks = [Stack(each, list(_maturity_parts(each, figures))) for each in windows]
    title = "Shares of predictions by maturity"
    wide, narrow = both(lambda width: bars_over_time(title, windows, stacks, size=(width, 210), percent=True))
    legend = [_box(place, MEANING[name]) for place, name in enumerate(MATURITY)]
    lead = ["Figures on outcomes rest on the mature predictions alone: the more of a window are, the more they say."]
    return Section(
        "maturity",
        "Mature outcomes",
        lead,
        [Chart("Maturity", wide, narrow, legend=legend)],
        tables=[_plain("Maturity", figures)],
    )


def _maturity_parts(as_of: datetime, figures: Sequence[Figure]) -> Iterable[tuple[int, float, str]]:
    """Of all versions that answered in the window together, by their rows."""
    for place, name in enumerate(MATURITY):
        own = [each for each in figures if each.as_of == as_of and each.metric == name and each.value is not None]
        rows = sum(each.n for each in own)
        value = sum((each.value or 0.0) * each.n for each in own) / rows if rows else 0.0
        yield place, value, f"{moment(as_of)}, {MEANING[name].partition(':')[0]}: {share(value)} of {rows:,}"


def volumes(evidence: Evidence) -> Section:
    """Answers by version, and refusals by code."""
    figures = evidence.of(Subject.VOLUME)
    answers = [each for each in figures if each.metric == "answers"]
    refused = [each for each in figures if each.metric == "refused"]
    if not answers:
        return Section("volumes", "Answers and refusals", ["Nothing was answered yet."])
    windows = windows_of(answers)
    versions = evidence.versions
    stacks = [
        Stack(
            window,
            [
                (
                    versions.index(each.version),
                    each.value or 0.0,
                    f"{moment(window)}, version {each.version}: {number(each.value)}",
                )
                for each in answers
                if each.as_of == window
            ],
        )
        for window in windows
    ]
    wide, narrow = both(lambda width: bars_over_time("Answers by version", windows, stacks, size=(width, 210)))
    legend = [_box(versions.index(name), f"version {name}") for name in dict.fromkeys(each.version for each in answers)]
    codes = list(dict.fromkeys(each.about for each in refused))
    small = [
        _over_time(evidence, code, [each for each in refused if each.about == code]) for code in codes[:MOST_DRAWN]
    ]
    newest = [each for each in refused if each.as_of == windows[-1]]
    said = ", ".join(f"{each.about} {told(each)}" for each in newest) or "nothing was refused"
    return Section(
        "volumes",
        "Answers and refusals",
        [f"Newest window, {moment(windows[-1])}: {said}."],
        [Chart("Answers by version", wide, narrow, legend=legend)],
        small,
        [_plain("Answers and refusals", [*answers, *refused])],
    )


def verdicts(evidence: Evidence) -> Section:
    """Shares of answers whose feature was missing, stale, or otherwise not as it should be."""
    figures = evidence.of(Subject.VOLUME, "verdict")
    if not figures:
        return Section("verdicts", "Missing and stale features", ["No feature was missing or stale in any answer."])
    largest: dict[str, float] = {}
    for each in figures:
        largest[each.about] = max(largest.get(each.about, 0.0), each.value or 0.0)
    names = sorted(largest, key=lambda name: (-largest[name], name))
    small = [
        _over_time(evidence, name, [each for each in figures if each.about == name]) for name in names[:MOST_DRAWN]
    ]
    more = f" The table has the other {len(names) - MOST_DRAWN}." if len(names) > MOST_DRAWN else ""
    lead = [f"Shares of answers by the verdict on a feature, the largest first.{more}"]
    return Section(
        "verdicts",
        "Missing and stale features",
        lead,
        small=small,
        tables=[_plain("Missing and stale features", figures)],
    )


def _over_time(evidence: Evidence, name: str, figures: Sequence[Figure]) -> Chart:
    lines = [
        Line(version, points_of(each for each in figures if each.version == version), place)
        for place, version in enumerate(evidence.versions)
    ]
    drawn = lines_over_time(
        f"{name} over time", windows_of(figures), lines, size=(328, 150), percent=True, include=(0.0,)
    )
    return Chart(name.replace(":", ": "), drawn, note=f"{moment(figures[-1].as_of)}: {told(figures[-1])}")


def _box(series: int, name: str) -> Legend:
    box = tag("rect", x=2, y=1, width=12, height=12, class_=f"bar s{series % SERIES}")
    return Legend(tag("svg", box, viewBox="0 0 16 14", width="16", height="14", aria_hidden="true"), name)


def _plain(title: str, figures: Sequence[Figure]) -> Table:
    rows = [
        [
            Cell(moment(each.as_of)),
            Cell(each.version),
            Cell(f"{each.metric.replace('_', ' ')} {each.about}".strip()),
            *value_cells(each),
            verdict_cell(each),
        ]
        for each in reversed(figures)
    ]
    columns = ("window", "version", "figure", "value", "95 % interval", "n", "verdict")
    return Table(f"{title}, each window", columns, rows)
