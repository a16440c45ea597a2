"""The schema of an extract: from it come the checks of its files and the tables in PostgreSQL."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from asof.errors import ConfigurationError
from asof.extracts.cadence import MONTHLY, Cadence
from asof.extracts.sources import PLAIN_CSV, CsvFile, InPlace, ParquetFile, PostgresQuery, Source

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
        *("scoring_runs", "scoring_ranges", "scored_users", "scores", "online_definitions"),
        "accepted_definitions",
        *("applied_features", "erasures", "monitor_runs", "monitor_metrics", "alerts", "alert_events"),
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
    UUID = "uuid"


KEY_KINDS = (Kind.TEXT, Kind.INTEGER, Kind.UUID)
"""What an entity can be keyed by."""


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

    Ours is keyed by (keys..., as_of, created_at). `keys` are the names of its key columns. Empty: all keys of its
    ExtractSchema that it has as columns, or the first column of a table without a schema. Raises ConfigurationError for
    a name that no table can have, or no column has.
    """

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    source: Source = PLAIN_CSV
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not TABLE_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Raw table {self.name!r}: a name has up to 46 lowercase letters, digits and underscores. Rename it."
            )
        if self.name in RESERVED_TABLES:
            raise ConfigurationError(f"Raw table {self.name!r}: AsOf or Feast has a table of that name. Rename it.")
        if absent := sorted({*self.keys} - {column.name for column in self.columns}):
            raise ConfigurationError(f"Raw table {self.name!r} has no column {absent[0]}, which `keys` names: add it.")

    @property
    def stem(self) -> str:
        """The name of its file without the ending: its own, unless the source names a file."""
        return getattr(self.source, "file", "") or self.name

    @property
    def file(self) -> str:
        """What a delivery calls it: the file's name (without that of a compression), or the name of a query."""
        suffixes = {CsvFile: ".csv", ParquetFile: ".parquet"}
        return f"{self.stem}{suffixes.get(type(self.source), '')}"

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of its key, by name."""
        named = {column.name: column for column in self.columns}
        return tuple(named[name] for name in sorted(self.keys)) or self.columns[:1]

    @property
    def value_columns(self) -> tuple[Column, ...]:
        """The columns that are not of its key."""
        return tuple(column for column in self.columns if column not in self.key_columns)


@dataclass(frozen=True)
class ExtractSchema:
    """All tables of one extract, keyed by the column `entity`, or by several.

    The table `entity_table` lists all entities, and has all keys; rows of other tables with all keys must refer to
    them. A table may have some of the keys only, as one of the merchants where entities are pairs of user and merchant.
    `labels`, with all keys and the column `label`, of the kind that the target takes, come with the extract or later in
    a folder of their own; `cadence` says when. `use_case` owns the tables, and is set by `UseCase.extract`; empty:
    ownership is not checked. A training set has the share `sample` of the labelled entities, by a hash of their keys.
    Raises ConfigurationError where two tables have one name, `sample` is no share, a key is not what it must be, and
    where entities or labels are used in place: their rows must be of the moments that are loaded.
    """

    entity: str | tuple[str, ...]
    entity_table: str
    tables: tuple[RawTable, ...]
    labels: RawTable
    label: str
    use_case: str = ""
    cadence: Cadence = MONTHLY
    sample: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise ConfigurationError(f"sample={self.sample}: a training set needs a share above 0 and up to 1.")
        names = Counter(table.name for table in (*self.tables, self.labels))
        if twice := [name for name, times in names.items() if times > 1]:
            raise ConfigurationError(f"Two raw tables of an extract are named {', '.join(twice)}. Rename one of them.")
        object.__setattr__(self, "tables", tuple(map(self._keyed, self.tables)))
        object.__setattr__(self, "labels", self._keyed(self.labels))
        for table in (*self.tables, self.labels):
            self._check_keys(table)
            if table.name in (self.entity_table, self.labels.name) and isinstance(table.source, InPlace):
                raise ConfigurationError(
                    f"Raw table {table.name}: the tables of entities and labels must be loaded, not used InPlace: "
                    "read it by a PostgresQuery."
                )

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the key columns, sorted: the order of keys everywhere."""
        return (self.entity,) if isinstance(self.entity, str) else tuple(sorted(self.entity))

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The key columns, in the order of `keys`."""
        return self.labels.key_columns

    @property
    def loaded_tables(self) -> tuple[RawTable, ...]:
        """The tables whose rows are loaded, the labels' last: all that are not used in place."""
        return tuple(each for each in (*self.tables, self.labels) if not isinstance(each.source, InPlace))

    @property
    def takes_files(self) -> bool:
        """Whether any table comes in a file, so that an ingest needs a folder."""
        return any(not isinstance(each.source, PostgresQuery) for each in self.loaded_tables)

    @property
    def label_column(self) -> Column:
        """The column of the labels. Raises ConfigurationError where their table lacks it."""
        if found := [column for column in self.labels.columns if column.name == self.label]:
            return found[0]
        raise ConfigurationError(f"Raw table {self.labels.name!r} has no column {self.label!r}, the label. Add it.")

    @property
    def feature_files(self) -> tuple[str, ...]:
        """The names of the files of all tables but the labels', without their endings."""
        return tuple(table.stem for table in self.tables)

    @property
    def file_names(self) -> tuple[str, ...]:
        """What a delivery calls each loaded table, the labels' last."""
        return tuple(dict.fromkeys(table.file for table in self.loaded_tables))

    def _keyed(self, table: RawTable) -> RawTable:
        """The table with its keys among those of the schema, unless it names its own."""
        keys = tuple(column.name for column in table.columns if column.name in self.keys)
        return table if table.keys or keys == (table.columns[0].name,) else replace(table, keys=keys)

    def _check_keys(self, table: RawTable) -> None:
        own = {column.name for column in table.key_columns}
        whole = table.name in (self.entity_table, self.labels.name)
        if not own <= {*self.keys} or (whole and own != {*self.keys}):
            needed = f"{'the' if whole else 'some of the'} keys of its extract ({', '.join(self.keys)})"
            raise ConfigurationError(
                f"Raw table {table.name!r} is keyed by {', '.join(sorted(own))}: give it {needed}."
            )
        kinds = {column.name: column.kind for column in self.labels.key_columns}
        for column in table.key_columns:
            if column.kind not in KEY_KINDS or column.nullable:
                raise ConfigurationError(
                    f"Raw table {table.name!r}: the key {column.name} must be text, integer or uuid, and never null."
                )
            if column.kind is not kinds.get(column.name, column.kind):
                raise ConfigurationError(
                    f"Raw table {table.name!r}: the key {column.name} is {column.kind}, and {kinds[column.name]} in "
                    f"{self.labels.name!r}. Give both one kind."
                )
