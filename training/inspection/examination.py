"""Months in their order -> Examination: every check on every month, and on every month beside the one before."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from asof.errors import InspectionError
from asof.use_case import UseCase
from training.inspection.checks.backwards import going_back
from training.inspection.checks.concept import concept_change
from training.inspection.checks.constant import constant_columns
from training.inspection.checks.coverage import missing_rows
from training.inspection.checks.dates import impossible_dates
from training.inspection.checks.drift import drift
from training.inspection.checks.duplicates import duplicated_columns
from training.inspection.checks.entities import other_entities
from training.inspection.checks.filled import filled_without_count
from training.inspection.checks.labels import label_agreement, label_rate
from training.inspection.checks.leaks import leak_suspects
from training.inspection.checks.nulls import null_rules
from training.inspection.checks.tenure import contradicting_tenures, standing_still
from training.inspection.checks.unchanged import unchanged
from training.inspection.checks.units import changed_units, impossible_amounts
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair, pair_of

ON_ONE_MONTH: tuple[Callable[[Month], list[Finding]], ...] = (
    missing_rows,
    constant_columns,
    null_rules,
    filled_without_count,
    impossible_dates,
    impossible_amounts,
    contradicting_tenures,
    duplicated_columns,
    leak_suspects,
)
ON_TWO_MONTHS: tuple[Callable[[Pair], list[Finding]], ...] = (
    other_entities,
    unchanged,
    standing_still,
    going_back,
    changed_units,
    label_rate,
    label_agreement,
    drift,
    concept_change,
)


@dataclass(frozen=True)
class Outline:
    """One month that was examined: its entities, how many have a label, and the rate of positives (None: no labels)."""

    as_of: datetime
    entities: int
    labels: int
    label_rate: float | None


@dataclass(frozen=True)
class Seen:
    """A finding, the moments of the months where it was made, and whether the use case has acknowledged it.

    The sentence and its figures are those of the newest of these months.
    """

    finding: Finding
    months: tuple[datetime, ...]
    acknowledged: bool

    @property
    def stops(self) -> bool:
        """Whether it keeps a model from being trained."""
        return self.finding.severity is Severity.ERROR and not self.acknowledged


@dataclass(frozen=True)
class Examination:
    """What the checks have to say of the months, the gravest first; each finding once, by its name.

    `newest` are the last two months themselves, the older first, for pictures.
    """

    months: tuple[Outline, ...]
    seen: tuple[Seen, ...]
    newest: tuple[Month, ...] = field(repr=False)

    @property
    def stopping(self) -> tuple[Seen, ...]:
        """The errors that nobody has acknowledged."""
        return tuple(each for each in self.seen if each.stops)

    @property
    def alarms(self) -> tuple[Seen, ...]:
        """Errors and warnings that nobody has acknowledged."""
        return tuple(each for each in self.seen if each.finding.severity is not Severity.INFO and not each.acknowledged)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON knows it."""
        return {
            "months": [asdict(month) | {"as_of": month.as_of.isoformat()} for month in self.months],
            "findings": [
                {
                    "name": each.finding.name,
                    "severity": str(each.finding.severity),
                    "acknowledged": each.acknowledged,
                    "months": [moment.date().isoformat() for moment in each.months],
                    "found": each.finding.sentence,
                    "to do": each.finding.advice,
                    "evidence": dict(each.finding.figures),
                }
                for each in self.seen
            ],
        }


def examine(months: Iterable[Month], *, acknowledged: Collection[str] = ()) -> Examination:
    """Runs every check on months of one schema, the oldest first; no more than two of them are held at a time."""
    found: dict[str, list[tuple[datetime, Finding]]] = {}
    outlines: list[Outline] = []
    newest: tuple[Month, ...] = ()
    for month in months:
        newest = (*newest[-1:], month)
        outlines.append(_outline(month))
        for finding in _findings(*newest):
            found.setdefault(finding.name, []).append((month.as_of, finding))
    seen = [
        Seen(each[-1][1], tuple(moment for moment, _ in each), name in acknowledged) for name, each in found.items()
    ]
    ordered = sorted(seen, key=lambda each: (each.finding.severity.rank, each.acknowledged))
    return Examination(tuple(outlines), tuple(ordered), newest)


def _findings(*newest: Month) -> Iterator[Finding]:
    for check in ON_ONE_MONTH:
        yield from check(newest[-1])
    if len(newest) == 2:
        pair = pair_of(*newest)
        for compare in ON_TWO_MONTHS:
            yield from compare(pair)


def _outline(month: Month) -> Outline:
    labels = month.numbers(month.label) if month.label else np.empty(0)
    known = labels[~np.isnan(labels)]
    return Outline(month.as_of, len(month.frame), known.size, float(known.mean()) if known.size else None)


def refuse_unacknowledged(examination: Examination, use_case: UseCase) -> None:
    """Raises InspectionError, naming each finding that stops and what to do about it."""
    if not (stopping := examination.stopping):
        return
    moment = examination.months[-1].as_of.date()
    told = "\n".join(f"- {each.finding.name}: {each.finding.sentence} {each.finding.advice}" for each in stopping)
    raise InspectionError(
        f"The data checks stop the training as of {moment}; nothing was trained.\n{told}\n"
        f"Put the data right and load it again; or, where a finding is known and harmless, add its name to "
        f"`acknowledged` in asof/use_cases/{use_case.name}/__init__.py, with a comment that says why. "
        f"`python -m flows inspect {moment}` shows all of it, with pictures.",
        [each.finding.name for each in stopping],
    )
