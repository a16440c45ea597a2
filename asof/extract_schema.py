"""What an extract must look like, as data: from it come the checks, the tables in PostgreSQL and the documents."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from asof.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,45}")
"""PostgreSQL cuts longer names off, an index's among them (`..._as_of_created_at`), and folds capitals where a name is
not quoted: two names would be one."""
OURS = frozenset(
    {
        *("loads", "materialisations", "whole_materialisations_begun", "parity_checks", "promotions"),
        *("scoring_runs", "scored_users", "scores", "online_definitions", "accepted_definitions"),
        # Feast's registry
        *("projects", "entities", "data_sources", "feature_views", "stream_feature_views", "on_demand_feature_views"),
        *("label_views", "feature_services", "saved_datasets", "validation_references", "managed_infra", "permissions"),
        *("feature_view_version_history", "feast_metadata"),
    }
)
"""The other tables of schema `public`."""


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
    """One file of an extract, `NAME.csv`, and one append-only table, keyed by (entity, as_of, created_at).

    Raises ConfigurationError for a name that cannot be a table's.
    """

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if not TABLE_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Raw table {self.name!r}: a name has up to 46 small letters, digits and underscores; rename it."
            )
        if self.name in OURS:
            raise ConfigurationError(f"Raw table {self.name!r}: AsOf or Feast has a table of that name; rename it.")


@dataclass(frozen=True)
class ExtractSchema:
    """All files of one extract. `entity` is the first column of each; its known values are those of `entities`.

    `labels` may come with the extract or later, in a folder of its own. `use_case` is the use case to which the tables
    belong, filled in by `UseCase.extract`; empty: whose they are is not looked at. Raises ConfigurationError where two
    tables have one name.
    """

    entity: str
    entities: str
    tables: tuple[RawTable, ...]
    labels: RawTable
    label: str
    use_case: str = ""

    def __post_init__(self) -> None:
        names = Counter(table.name for table in (*self.tables, self.labels))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ConfigurationError(f"An extract has each raw table once, and {', '.join(twice)} twice: rename one.")
