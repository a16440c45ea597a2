"""What an extract must look like, as data: from it come the checks, the tables in PostgreSQL and the documents."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Kind(StrEnum):
    """The kind of a raw column."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """One raw column: its kind, whether it may be empty, its range (both ends included), its allowed values."""

    name: str
    kind: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule across columns: `holds` takes the typed frame (n rows) and gives n booleans; `text` is its sentence.

    In the frame, text is pandas' `string`, integers `Int64`, numbers `float64`, booleans `boolean`, dates
    `datetime64[ms]`; an empty cell is missing. Only rows that could be read entirely are there. NA means "broken".
    """

    text: str
    columns: tuple[str, ...]
    holds: Callable[["pd.DataFrame"], "pd.Series[bool]"]


@dataclass(frozen=True)
class RawTable:
    """One file of an extract, `NAME.csv`, and one append-only table, keyed by (entity, as_of, created_at)."""

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class ExtractSchema:
    """All files of one extract. `entity` is the first column of each; its known values are those of `entities`.

    `labels` may come with the extract or later, in a folder of its own.
    """

    entity: str
    entities: str
    tables: tuple[RawTable, ...]
    labels: RawTable
    label: str
