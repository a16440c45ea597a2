"""The schema of an extract: from it come the checks of its files and the tables in PostgreSQL."""

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
"""PostgreSQL truncates longer names (`..._as_of_created_at` of an index among them) and folds capitals in names that
are not quoted: two names could become one."""
REGISTRY_TABLES = (
    *("projects", "entities", "data_sources", "feature_views", "stream_feature_views", "on_demand_feature_views"),
    *("label_views", "feature_services", "saved_datasets", "validation_references", "managed_infra", "permissions"),
    *("feature_view_version_history", "feast_metadata"),
)
"""Of Feast's SQL registry (0.67)."""
RESERVED_TABLES = frozenset(
    {
        *REGISTRY_TABLES,
        *("loads", "materialisations", "whole_materialisations_begun", "parity_checks", "promotions"),
        *("scoring_runs", "scored_users", "scores", "online_definitions", "accepted_definitions"),
        "applied_features",
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

    The frame has the rows of which every cell could be read. Its types: text is `string`, integers `Int64`, numbers
    `float64`, booleans `boolean`, dates `datetime64[ms]`; an empty cell is missing.
    """

    text: str
    columns: tuple[str, ...]
    holds: Callable[["pd.DataFrame"], "pd.Series[bool]"]


@dataclass(frozen=True)
class RawTable:
    """One file of an extract, `NAME.csv`, and one append-only table, keyed by (entity, as_of, created_at).

    Raises ConfigurationError for a name that no table can have.
    """

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if not TABLE_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Raw table {self.name!r}: a name has up to 46 lowercase letters, digits and underscores. Rename it."
            )
        if self.name in RESERVED_TABLES:
            raise ConfigurationError(f"Raw table {self.name!r}: AsOf or Feast has a table of that name. Rename it.")


@dataclass(frozen=True)
class ExtractSchema:
    """All files of one extract, keyed by the column `entity`, the first of each file.

    The table `entity_table` lists all entities; rows of other tables must refer to them. `labels`, with the boolean
    column `label`, come with the extract or later in a folder of their own. `use_case` owns the tables, and is set by
    `UseCase.extract`; empty: ownership is not checked. Raises ConfigurationError where two tables have one name.
    """

    entity: str
    entity_table: str
    tables: tuple[RawTable, ...]
    labels: RawTable
    label: str
    use_case: str = ""

    def __post_init__(self) -> None:
        names = Counter(table.name for table in (*self.tables, self.labels))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ConfigurationError(f"Two raw tables of an extract are named {', '.join(twice)}. Rename one of them.")

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of all files, the labels' last."""
        return tuple(f"{table.name}.csv" for table in (*self.tables, self.labels))
