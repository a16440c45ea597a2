"""A month -> nulls that follow a rule ("not applicable"), and nulls that do not ("missing")."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asof.extracts.schema import Kind
from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Month

MAX_LEVELS = 50
MIN_NULLS = 10
MIN_COVERED = 0.9
"""The share of the nulls that a rule must cover."""


@dataclass(frozen=True)
class _Rule:
    """Every row that meets the condition is null; `covered` is their number."""

    condition: str
    covered: int


def null_rules(month: Month) -> list[Finding]:
    """`not-applicable:` null wherever another column has a value; `missing:` null by no such rule."""
    findings: list[Finding] = []
    for name in month.features():
        null = np.isnan(month.numbers(name)) & month.rows_of(name)
        if nulls := int(null.sum()):
            rule = _rule(month, name, null) if nulls >= MIN_NULLS else None
            if rule:
                findings.append(_follows(name, rule, nulls))
            if rule is None or rule.covered < nulls:
                findings.append(_missing(month, name, nulls, rule))
    return findings


def _rule(month: Month, name: str, null: Bools) -> _Rule | None:
    """The rule that covers the most nulls; the first of equal ones."""
    rules = [rule for other in _candidates(month, name) for rule in _rules(month, other, null, month.rows_of(name))]
    best = max(rules, key=lambda rule: rule.covered, default=None)
    return best if best and best.covered >= MIN_COVERED * null.sum() else None


def _candidates(month: Month, name: str) -> Iterator[str]:
    """Columns that are known in every row of this column's table."""
    for other in month.features(Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER):
        values = month.numbers(other)[month.rows_of(name)]
        if other != name and not np.isnan(values).any():
            yield other


def _rules(month: Month, other: str, null: Bools, rows: Bools) -> Iterator[_Rule]:
    values = month.numbers(other)
    if month.columns[other].kind is Kind.INTEGER:
        yield from _all_null(values == 0, null, rows, f"{other} is 0")
        return
    levels = month.levels(other)
    if len(levels) <= MAX_LEVELS:
        for code, level in enumerate(levels):
            yield from _all_null(values == code, null, rows, f"{other} is {level!r}")


def _all_null(holds: Bools, null: Bools, rows: Bools, condition: str) -> Iterator[_Rule]:
    covered = int((holds & null).sum())
    if covered and covered == int((holds & rows).sum()):
        yield _Rule(condition, covered)


def _follows(name: str, rule: _Rule, nulls: int) -> Finding:
    exactly = "exactly" if rule.covered == nulls else "always"
    return Finding(
        f"not-applicable:{name}",
        Severity.INFO,
        f"{name} is null {exactly} where {rule.condition}: {rule.covered:,} rows, not applicable rather than unknown.",
        "Make it a value of its own in the feature view; neither fill it in nor cast it to a boolean (null casts to "
        "True).",
        {"nulls": float(nulls), "by_the_rule": float(rule.covered)},
    )


def _missing(month: Month, name: str, nulls: int, rule: _Rule | None) -> Finding:
    left, rows = nulls - (rule.covered if rule else 0), int(month.rows_of(name).sum())
    beside = f", apart from those where {rule.condition}" if rule else ""
    return Finding(
        f"missing:{name}",
        Severity.WARNING if rule else Severity.INFO,
        f"{name} is null in {left:,} of {rows:,} rows, which no rule explains{beside}.",
        "Ask why the values are missing: these entities are neither trained on nor scored if it is a required feature.",
        {"nulls": float(nulls), "unexplained": float(left)},
    )
