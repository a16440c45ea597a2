"""Months in order -> Examination: every check on every month, and on every pair of consecutive months."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from asof.errors import InspectionError
from asof.extracts.cadence import moment_text
from asof.use_case import UseCase
from training.inspection.checks.changes.backwards import going_back
from training.inspection.checks.changes.drift import drift
from training.inspection.checks.changes.entities import other_entities
from training.inspection.checks.changes.tenure import contradicting_tenures, standing_still
from training.inspection.checks.changes.unchanged import unchanged
from training.inspection.checks.labels.agreement import label_agreement, label_rate
from training.inspection.checks.labels.concept import concept_change
from training.inspection.checks.labels.leaks import leak_suspects
from training.inspection.checks.values.completeness import constant_columns, missing_rows
from training.inspection.checks.values.dates import impossible_dates
from training.inspection.checks.values.duplicates import duplicated_columns
from training.inspection.checks.values.filled import filled_without_count
from training.inspection.checks.values.nulls import null_rules
from training.inspection.checks.values.units import changed_units, impossible_amounts
from training.inspection.finding import Finding, Severity
from training.inspection.month import Month, Pair, pair_of

MONTH_CHECKS: tuple[Callable[[Month], list[Finding]], ...] = (
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
PAIR_CHECKS: tuple[Callable[[Pair], list[Finding]], ...] = (
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
class MonthSummary:
    """A month: its number of entities and of labels, and the share of positive labels (None: no such labels)."""

    as_of: datetime
    entities: int
    labels: int
    label_rate: float | None


@dataclass(frozen=True)
class FindingRecord:
    """A finding, the months that have it, and whether the use case has acknowledged it.

    Sentence and figures are those of the newest of these months.
    """

    finding: Finding
    months: tuple[datetime, ...]
    acknowledged: bool

    @property
    def stops(self) -> bool:
        """Whether it stops training."""
        return self.finding.severity is Severity.ERROR and not self.acknowledged


@dataclass(frozen=True)
class Examination:
    """The findings of all months by name, the most severe first.

    `newest` are the last two months, the older first, for plots.
    """

    months: tuple[MonthSummary, ...]
    findings: tuple[FindingRecord, ...]
    newest: tuple[Month, ...] = field(repr=False)

    @property
    def stopping(self) -> tuple[FindingRecord, ...]:
        """The unacknowledged errors."""
        return tuple(each for each in self.findings if each.stops)

    @property
    def alarms(self) -> tuple[FindingRecord, ...]:
        """The unacknowledged errors and warnings."""
        return tuple(
            each for each in self.findings if each.finding.severity is not Severity.INFO and not each.acknowledged
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "months": [asdict(month) | {"as_of": month.as_of.isoformat()} for month in self.months],
            "findings": [
                {
                    "name": each.finding.name,
                    "severity": str(each.finding.severity),
                    "acknowledged": each.acknowledged,
                    "months": [moment_text(moment) for moment in each.months],
                    "found": each.finding.sentence,
                    "to do": each.finding.advice,
                    "evidence": dict(each.finding.figures),
                }
                for each in self.findings
            ],
        }


def examine(months: Iterable[Month], *, acknowledged: Collection[str] = ()) -> Examination:
    """Runs every check on months of one schema, the oldest first; keeps two of them in memory."""
    by_name: dict[str, list[tuple[datetime, Finding]]] = {}
    summaries: list[MonthSummary] = []
    newest: tuple[Month, ...] = ()
    for month in months:
        newest = (*newest[-1:], month)
        summaries.append(_summary(month))
        for finding in _findings(*newest):
            by_name.setdefault(finding.name, []).append((month.as_of, finding))
    records = [
        FindingRecord(each[-1][1], tuple(moment for moment, _ in each), name in acknowledged)
        for name, each in by_name.items()
    ]
    ordered = sorted(records, key=lambda each: (each.finding.severity.rank, each.acknowledged))
    return Examination(tuple(summaries), tuple(ordered), newest)


def _findings(*newest: Month) -> list[Finding]:
    findings = [finding for check in MONTH_CHECKS for finding in check(newest[-1])]
    pairs = [pair_of(*newest)] if len(newest) == 2 else []
    return findings + [finding for pair in pairs for check in PAIR_CHECKS for finding in check(pair)]


def _summary(month: Month) -> MonthSummary:
    if month.label is None:
        return MonthSummary(month.as_of, len(month.frame), 0, None)
    labels = month.encoded_labels()
    known = labels[~np.isnan(labels)]
    return MonthSummary(month.as_of, len(month.frame), known.size, month.rules.rate(known))


def refuse_unacknowledged(examination: Examination, use_case: UseCase) -> None:
    """Raises InspectionError, with sentence and advice of each finding that stops training."""
    if not (stopping := examination.stopping):
        return
    moment = moment_text(examination.months[-1].as_of)
    lines = "\n".join(f"- {each.finding.name}: {each.finding.sentence} {each.finding.advice}" for each in stopping)
    raise InspectionError(
        f"The data checks stop the training as of {moment}; nothing was trained.\n{lines}\n"
        f"Correct the data and load it again; or, where a finding is known and harmless, add its name to "
        f"`acknowledged` in asof/use_cases/{use_case.name}/__init__.py, with a comment that says why. "
        f"`python -m flows inspect {use_case.name} {moment}` shows all findings, with plots.",
        [each.finding.name for each in stopping],
    )
