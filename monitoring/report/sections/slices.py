"""Performance of parts of the entities beside the rest."""

from collections.abc import Sequence

from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.report.charts.dots import Dot, dots
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import counted, moment, number, told
from monitoring.report.sections.performance import title_of
from monitoring.report.sections.section import (
    Cell,
    Chart,
    Section,
    Table,
    both,
    numeric,
    p_cell,
    value_cells,
    verdict_cell,
)

MOST_DRAWN = 30


def slices(evidence: Evidence) -> Section:
    """The newest window with outcomes of the version in Production."""
    figures = evidence.of(Subject.SLICE, version=evidence.version) or evidence.of(Subject.SLICE)
    if not figures:
        return Section("slices", "Slices", ["Nothing was measured: no slices are declared, or no outcomes are mature."])
    newest = [each for each in figures if each.as_of == figures[-1].as_of]
    worse = [each.about for each in newest if each.verdict in (Verdict.ALARM, Verdict.NOTICE)]
    few = sum(each.verdict is Verdict.TOO_FEW for each in newest)
    of = f"{title_of(newest[0].metric)} of version {newest[0].version}, {moment(newest[0].as_of)}"
    lead = [
        f"{of}, beside the rest of the rows: "
        f"{', '.join(worse) if worse else 'no slice'} {'differ' if len(worse) > 1 else 'differs'}"
        f"{f'; in {few} there are too few rows to say' if few else ''}."
    ]
    lead[0] = lead[0][:1].upper() + lead[0][1:]
    return Section("slices", "Slices", lead, [_chart(newest)], tables=[_table(newest), _history(figures)])


def _chart(figures: Sequence[Figure]) -> Chart:
    rows = [
        Dot(
            each.about,
            each.value,
            each.low,
            each.high,
            f"{each.about}: {told(each)}",
            _rest(each),
            hollow=each.verdict is Verdict.TOO_FEW,
            ringed=each.verdict is Verdict.ALARM,
        )
        for each in figures[:MOST_DRAWN]
    ]
    title = f"{title_of(figures[0].metric)} of each slice"
    wide, narrow = both(lambda width: dots(title, rows, width=width))
    note = "The short vertical line is the rest of the rows. A hollow mark has too few rows to say; a ring is an alarm."
    return Chart(title[:1].upper() + title[1:], wide, narrow, note=note)


def _rest(figure: Figure) -> float | None:
    """The value of the other rows; its detail has that with its interval."""
    match figure.detail.get("rest"):
        case [int() | float() as value, *_]:
            return value
    return None


def _table(figures: Sequence[Figure]) -> Table:
    rows = [
        [
            Cell(each.about, "code"),
            *value_cells(each),
            numeric(number(_rest(each))),
            p_cell(each),
            verdict_cell(each),
        ]
        for each in figures
    ]
    columns = ("slice", title_of(figures[0].metric), "95 % interval", "n", "the rest", "p, Holm", "verdict")
    return Table(f"{counted(len(rows), 'slice')}, {moment(figures[0].as_of)}", columns, rows)


def _history(figures: Sequence[Figure]) -> Table:
    rows = [
        [Cell(each.about, "code"), Cell(moment(each.as_of)), Cell(each.version), *value_cells(each), verdict_cell(each)]
        for each in sorted(figures, key=lambda each: each.about)
    ]
    columns = ("slice", "window", "version", title_of(figures[0].metric), "95 % interval", "n", "verdict")
    return Table("Slices, each window", columns, rows)
