"""Broken rules of a raw table's rows, as findings say them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from training.data.extracts.files.csv_file import rows_text

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Violation:
    """A broken rule: in which rows (the first five, by number or key, and how many), and what the first one has."""

    where: str
    rule: str
    rows: tuple[Any, ...]
    count: int
    example: str
    key: str = ""

    def text(self) -> str:
        """As one sentence."""
        if not self.count:
            return f"{self.where}: {self.rule}"
        if not self.key:
            rows = rows_text(self.rows, self.count)
            return f"{self.where}: {rows}: {self.rule}; row {self.rows[0]} has {self.example}"
        first = ", ".join(map(repr, self.rows)) + (", ..." if self.count > SHOWN_ROWS else "")
        rows = f"{self.key} {first} ({self.count} in all)"
        return f"{self.where}: {rows}: {self.rule}; that of {self.rows[0]!r} has {self.example}"


def merged(violations: Iterable[Violation]) -> list[Violation]:
    """Those of several batches of one table, the same rule once."""
    by_rule: dict[tuple[str, str], Violation] = {}
    for each in violations:
        first = by_rule.get((each.where, each.rule))
        rows = ((*first.rows, *each.rows) if first else each.rows)[:SHOWN_ROWS]
        count = each.count + (first.count if first else 0)
        by_rule[each.where, each.rule] = replace(first or each, rows=rows, count=count)
    return list(by_rule.values())
