"""Evidence -> a self-contained HTML page: no script, nothing from another host, light and dark, for paper, too."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

from markupsafe import Markup, escape

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.records.figure import Figure
from monitoring.report.charts.svg import tag
from monitoring.report.evidence import Evidence, read_evidence
from monitoring.report.judgement import judge
from monitoring.report.numbers import counted, moment
from monitoring.report.sections.answers import maturity, verdicts, volumes
from monitoring.report.sections.calibration import calibration
from monitoring.report.sections.comparisons import audit, shadow
from monitoring.report.sections.drift import drift, scores
from monitoring.report.sections.estimate import estimated
from monitoring.report.sections.history import runs, stories
from monitoring.report.sections.performance import performance
from monitoring.report.sections.section import Section
from monitoring.report.sections.slices import slices

MOST_WINDOWS = 36
"""Of the page: older ones stay in the tables of monitoring."""
SECTIONS = (performance, calibration, estimated, slices, drift, scores, maturity, verdicts, volumes, audit, shadow)


def write_page(settings: Settings, use_case: UseCase, path: Path) -> Evidence:
    """Writes the page of what is known now, whole or not at all; returns what it is made of."""
    evidence = read_evidence(settings, use_case)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(page(evidence))
    os.chmod(file.name, 0o644)  # noqa: PTH101 - a temporary file is for its owner alone
    Path(file.name).replace(path)
    return evidence


def page(evidence: Evidence) -> str:
    """The page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("monitoring.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ticked"] = ticked
    shown = newest_windows(evidence)
    return environment.get_template("page.html").render(
        title=evidence.title,
        use_case=evidence.use_case,
        made=moment(evidence.made_at.replace(second=0, microsecond=0)),
        judgement=judge(evidence),
        stories=stories(evidence),
        sections=sections(shown),
        runs=runs(evidence),
        left_out=_left_out(evidence, shown),
    )


def ticked(words: str) -> Markup:
    """The words with what stands in backticks as code."""
    parts = words.split("`")
    if len(parts) % 2 == 0:  # one is not closed
        return escape(words)
    return Markup().join(tag("code", part) if place % 2 else part for place, part in enumerate(parts))


def newest_windows(evidence: Evidence) -> Evidence:
    """The same without figures of windows beyond the newest; numbers that no drawing can have are left out."""
    kept = set(evidence.windows[-MOST_WINDOWS:])
    return replace(evidence, figures=[_finite(each) for each in evidence.figures if each.as_of in kept])


def _finite(figure: Figure) -> Figure:
    value, low, high = (None if each is None or not isfinite(each) else each for each in _numbers(figure))
    return replace(figure, value=value, low=low, high=high)


def _numbers(figure: Figure) -> Sequence[float | None]:
    return figure.value, figure.low, figure.high


def sections(evidence: Evidence) -> Sequence[Section]:
    """In the order of the page."""
    return [make(evidence) for make in SECTIONS]


def _left_out(evidence: Evidence, shown: Evidence) -> str:
    more = len(evidence.windows) - len(shown.windows)
    return f"The newest {MOST_WINDOWS} windows; {counted(more, 'older one')} left out." if more else ""
