"""The schema of an extract: from it come the checks of its files and the tables in PostgreSQL."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from asof.cadence import MONTHLY, Cadence
from asof.errors import ConfigurationError
from asof.sources import PLAIN_CSV, CsvFile, InPlace, ParquetFile, PostgresQuery, Source

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,45}")
"""PostgreSQL truncates longer names (`..._as_of_created_at` of an index among them) and folds capitals in names that
are not quoted: two names could become one."""
RESERVED_TABLES = frozenset(
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
    """The type of a raw column."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True)
class Column:
    """One raw column; `minimum` and `maximum` are included, `allowed` are the values of a text (empty: any)."""

    name: str
    kind: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule across columns, described by `text`: `holds` maps a frame of n rows to n booleans; NA counts as broken.

    The frame has the rows of which every cell could be read, of a whole file or of a part of what a query gives: a rule
    looks at each row by itself. Its types: text is `string`, integers `Int64`, numbers
    `float64`, booleans `boolean`, dates `datetime64[ms]`; an empty cell is missing.
    """

    text: str
    columns: tuple[str, ...]
    holds: Callable[["pd.DataFrame"], "pd.Series[bool]"]


@dataclass(frozen=True)
class RawTable:
    """One table of an extract, whose rows come from `source`, and one append-only table of ours.

    Ours is keyed by (entity, as_of, created_at). Raises ConfigurationError for a name that no table can have.
    """

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    source: Source = PLAIN_CSV

    def __post_init__(self) -> None:
        if not TABLE_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Raw table {self.name!r}: a name has up to 46 lowercase letters, digits and underscores. Rename it."
            )
        if self.name in RESERVED_TABLES:
            raise ConfigurationError(f"Raw table {self.name!r}: AsOf or Feast has a table of that name. Rename it.")

    @property
    def file(self) -> str:
        """What a delivery calls it: the file's name (without that of a compression), or the name of a query."""
        suffixes = {CsvFile: ".csv", ParquetFile: ".parquet"}
        return f"{self.name}{suffixes.get(type(self.source), '')}"


@dataclass(frozen=True)
class ExtractSchema:
    """All tables of one extract, keyed by the column `entity`, the first of each table.

    The table `entity_table` lists all entities; rows of other tables must refer to them. `labels`, with the boolean
    column `label`, come with the extract or later in a folder of their own; `cadence` says when. `use_case` owns the
    tables, and is set by `UseCase.extract`; empty: ownership is not checked. Raises ConfigurationError where two tables
    have one name, and where entities or labels are used in place: their rows must be of the moments that are loaded.
    """

    entity: str
    entity_table: str
    tables: tuple[RawTable, ...]
    labels: RawTable
    label: str
    use_case: str = ""
    cadence: Cadence = MONTHLY

    def __post_init__(self) -> None:
        names = Counter(table.name for table in (*self.tables, self.labels))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ConfigurationError(f"Two raw tables of an extract are named {', '.join(twice)}. Rename one of them.")

        for table in (*self.tables, self.labels):
            if table.name in (self.entity_table, self.labels.name) and isinstance(table.source, InPlace):
                raise ConfigurationError(
                    f"Raw table {table.name}: the tables of entities and labels must be loaded, not used InPlace: "
                    "read it by a PostgresQuery."
                )

    @property
    def loaded_tables(self) -> tuple[RawTable, ...]:
        """The tables whose rows are loaded, the labels' last: all that are not used in place."""
        return tuple(each for each in (*self.tables, self.labels) if not isinstance(each.source, InPlace))

    @property
    def takes_files(self) -> bool:
        """Whether any table comes in a file, so that an ingest needs a folder."""
        return any(not isinstance(each.source, PostgresQuery) for each in self.loaded_tables)

    @property
    def file_names(self) -> tuple[str, ...]:
        """What a delivery calls each loaded table, the labels' last."""
        return tuple(table.file for table in self.loaded_tables)
