"""A table as it was read -> what each of its columns holds (ColumnProfile)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as arrow
import pyarrow.compute as compute

from asof.extracts.schema import Kind

MAX_CATEGORIES = 30
"""A text with more distinct values is not taken for a category."""
LISTED_VALUES = 6
FALSE_AND_TRUE = (("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("0", "1"))
"""Spellings of a boolean in lower case; the last only where the column is the label."""

Test = Callable[[arrow.ChunkedArray], bool]

_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
# 00123 is a code, not a number.
_INTEGER, _NUMBER = r"^-?(0|[1-9]\d{0,17})$", r"^-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_DATE = r"^\d{4}-\d\d-\d\d$"


@dataclass(frozen=True)
class ColumnProfile:
    """One column: its kind, its number of nulls, and its values.

    `values` are the distinct values as text, the most frequent first, at most MAX_CATEGORIES + 1 of them; `minimum`
    and `maximum` are those of a number.
    """

    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    values: tuple[str, ...]
    minimum: float | None = None
    maximum: float | None = None

    @property
    def category(self) -> bool:
        """Whether it is a text of few values."""
        return self.kind is Kind.TEXT and 0 < self.distinct <= MAX_CATEGORIES

    @property
    def seen(self) -> str:
        """What was seen, for a comment."""
        nulls = f"; {self.nulls:,} of {self.rows:,} empty" if self.nulls else ""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:,.6g} to {self.maximum:,.6g}{nulls}"
        few = self.distinct <= LISTED_VALUES
        return (", ".join(self.values) if few else f"{self.distinct:,} values") + nulls


def profile_table(table: arrow.Table, *, typed: bool) -> list[ColumnProfile]:
    """The profile of each column; a null is an empty cell. Text is text where the source is `typed`, else parsed."""
    return [_profile(name, table[name], typed=typed) for name in table.column_names]


def example_of(table: arrow.Table) -> dict[str, str]:
    """The first row as text, by column."""
    return {name: str(table[name][0].as_py()) for name in table.column_names}


def _profile(name: str, cells: arrow.ChunkedArray, *, typed: bool) -> ColumnProfile:
    text = cells if arrow.types.is_string(cells.type) else cells.cast(arrow.string())
    kind = _KINDS.get(str(cells.type)) or _kind_of_text(text, _TEXT_KINDS[:1] if typed else _TEXT_KINDS)
    counts = arrow.Table.from_struct_array(text.drop_null().value_counts())
    counts = counts.sort_by([("counts", "descending"), ("values", "ascending")])
    ends = _ends(cells, kind)
    values = counts["values"].slice(0, MAX_CATEGORIES + 1).to_pylist()
    return ColumnProfile(name, kind, len(cells), cells.null_count, len(counts), tuple(values), *ends)


def _kind_of_text(text: arrow.ChunkedArray, kinds: Sequence[tuple[Kind, Test]]) -> Kind:
    """The first of the kinds of which every value is; text where there is none, or nothing but nulls."""
    valid = text.drop_null()
    if not len(valid):
        return Kind.TEXT
    return next((kind for kind, is_kind in kinds if is_kind(valid)), Kind.TEXT)


def _all_match(pattern: str) -> Callable[[arrow.ChunkedArray], bool]:
    return lambda text: bool(compute.all(compute.match_substring_regex(text, pattern)).as_py())


def _is_boolean(text: arrow.ChunkedArray) -> bool:
    return spelling_of(text.unique().to_pylist()) is not None


def spelling_of(values: Sequence[str], *, digits: bool = False) -> tuple[str, str] | None:
    """How (False, True) are spelled in these values, which are both or one of them; None if they are no booleans."""
    folded = {value.casefold() for value in values}
    spellings = FALSE_AND_TRUE if digits else FALSE_AND_TRUE[:-1]
    return next((pair for pair in spellings if folded and folded <= set(pair)), None)


def _ends(cells: arrow.ChunkedArray, kind: Kind) -> tuple[float | None, float | None]:
    if kind not in (Kind.INTEGER, Kind.NUMBER) or cells.null_count == len(cells):
        return None, None
    ends = compute.min_max(cells.cast(arrow.float64())).as_py()
    return ends["min"], ends["max"]


_TEXT_KINDS: tuple[tuple[Kind, Test], ...] = (
    (Kind.UUID, _all_match(_UUID)),
    (Kind.BOOLEAN, _is_boolean),
    (Kind.INTEGER, _all_match(_INTEGER)),
    (Kind.NUMBER, _all_match(_NUMBER)),
    (Kind.DATE, _all_match(_DATE)),
)
_KINDS = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), Kind.INTEGER),
    **dict.fromkeys(("float", "double"), Kind.NUMBER),
    "bool": Kind.BOOLEAN,
    "date32[day]": Kind.DATE,
}
"""Kinds by the name of an Arrow type; every other type is read as text."""
