"""Tables as they were read, and what the user said of them -> Draft: all that the templates write."""

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from unicodedata import normalize

from asof.errors import ConfigurationError
from asof.extracts.schema import KEY_KINDS, Kind
from asof.extracts.sources import PostgresQuery, Source
from scaffold.profile import MAX_CATEGORIES, ColumnProfile, spelling_of

FEAST_TYPES = {Kind.TEXT: "String", Kind.INTEGER: "Int64", Kind.NUMBER: "Float64", Kind.BOOLEAN: "Bool"}
"""The Feast type of a feature by the kind of its raw column; a date is none."""
MAX_NULLS = 0.05
"""Share of empty cells up to which a column is a feature: a row without one is neither learned from nor predicted."""
CASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
ANSWER_MEMBERS = frozenset(
    {
        *("probability", "threshold", "class_name", "probabilities", "value", "interval", "unit"),
        *("model", "request_id", "flags"),
    }
)
"""Names that an answer has already; a key or a label of such a name gets another."""
NOT_A_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class FoundTable:
    """A table of the source: its name there, the profiles of its columns, and an example row as text by column.

    `origin` says where it is, for comments; `source` declares it, without the names of its columns. `newest` is the
    newest moment of a table that has several, or that as of which a query was run.
    """

    name: str
    origin: str
    columns: Sequence[ColumnProfile]
    example: dict[str, str]
    source: Source
    newest: str = ""


@dataclass(frozen=True)
class Wish:
    """What the user said: name of the use case, key columns, label column, which value of it is positive.

    `moment_column` is that of a table that holds several moments; labels are known `horizon` days after theirs (None:
    with the features of a table of one moment, a month later of one that has several).
    """

    name: str
    keys: tuple[str, ...]
    label: str
    positive: str | None = None
    title: str = ""
    moment_column: str | None = None
    horizon: int | None = None

    def __post_init__(self) -> None:
        if not CASE_NAME.fullmatch(self.name) or keyword.iskeyword(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot be the name of a use case: take up to 30 lowercase letters, digits and "
                "underscores, the first a letter, such as late_payers."
            )


@dataclass(frozen=True)
class DraftColumn:
    """A column of a raw table: its name in AsOf, and its profile, which has the name of the source."""

    name: str
    profile: ColumnProfile
    role: str  # key, feature, or why it is neither

    @property
    def feast_type(self) -> str:
        return FEAST_TYPES[self.profile.kind]


@dataclass(frozen=True)
class DraftTable:
    """A raw table to write: its name, where its rows come from, and its columns, the keys first."""

    name: str
    found: FoundTable
    columns: list[DraftColumn]

    @property
    def constant(self) -> str:
        return self.name.upper()

    @property
    def features(self) -> list[DraftColumn]:
        return [each for each in self.columns if each.role == "feature"]


@dataclass(frozen=True)
class Draft:
    """What the templates write; `spelling` are a binary label's values for False and True, in that order."""

    wish: Wish
    tables: list[DraftTable]
    labels: DraftTable
    label: DraftColumn
    spelling: tuple[str, str] | None
    keys: list[DraftColumn]
    written: datetime
    skipped: list[str]

    @property
    def title(self) -> str:
        return self.wish.title or self.wish.name.replace("_", " ").capitalize()

    @property
    def newest(self) -> str:
        """The newest moment of a table or query that has several."""
        return self.labels.found.newest

    @property
    def target(self) -> str:
        """The class of `asof.targets` that predicts the label."""
        if self.spelling:
            return "Binary"
        return "Multiclass" if self.label.profile.kind is Kind.TEXT else "Regression"

    @property
    def queried(self) -> bool:
        """Whether the rows come from PostgreSQL, not from files."""
        return isinstance(self.labels.found.source, PostgresQuery)

    @property
    def horizon(self) -> int | None:
        """Days after which the label is known; None: as by default, the next step of the cadence."""
        return self.wish.horizon if self.newest or self.wish.horizon is not None else 0

    @property
    def class_prefix(self) -> str:
        return "".join(word.capitalize() for word in self.wish.name.split("_"))

    @property
    def example(self) -> dict[str, str]:
        """The key of the first row, as text by key column."""
        found = self.tables[0].found
        return {key.name: found.example[key.profile.name] for key in self.keys}


def column_name(text: str) -> str:
    """A name for PostgreSQL and Python from any header: `Charge  Amount (EUR)` becomes `charge_amount_eur`."""
    ascii_text = normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    name = NOT_A_WORD.sub("_", ascii_text).strip("_")[:55] or "column"
    return f"c_{name}" if name[0].isdigit() or keyword.iskeyword(name) or name in ("as_of", "created_at") else name


def _member_name(text: str) -> str:
    """The same for a key or a label, which is a member of the answer."""
    name = column_name(text)
    return f"c_{name}" if name in ANSWER_MEMBERS else name


def make_draft(wish: Wish, found: Sequence[FoundTable], now: datetime) -> Draft:
    """Raises ConfigurationError where a key or the label is in no table, in several, or is not what it must be."""
    keyed = [table for table in found if set(wish.keys) <= {column.name for column in table.columns}]
    if not keyed:
        columns = ", ".join(column.name for table in found for column in table.columns)
        raise ConfigurationError(
            f"No table has the key {', '.join(wish.keys)}: name its column by --entity. Columns: {columns}."
        )
    labelled = [table for table in keyed if any(column.name == wish.label for column in table.columns)]
    if len(labelled) != 1:
        where = f"tables {', '.join(table.name for table in labelled)} all have" if labelled else "no table has"
        columns = ", ".join(column.name for table in keyed for column in table.columns)
        raise ConfigurationError(
            f"The label must be in one table, but {where} a column {wish.label!r}: name it by --label. "
            f"Columns: {columns}."
        )
    skipped = [table.name for table in found if table not in keyed]
    return _drafted(wish, keyed, labelled[0], now, skipped)


def _drafted(wish: Wish, found: Sequence[FoundTable], labelled: FoundTable, now: datetime, skipped: list[str]) -> Draft:
    tables = [_table(wish, each) for each in found if _others(wish, each)]
    if not tables:
        raise ConfigurationError(f"{labelled.origin} has no column but key and label: there are no features.")
    tables.sort(key=lambda table: -table.columns[0].profile.rows)
    labels = _table(wish, labelled, only_label=True)
    *keys, label = labels.columns
    _check_keys(tables[0], keys)
    return Draft(wish, tables, labels, label, _spelling(wish, label.profile), keys, now, skipped)


def _others(wish: Wish, table: FoundTable) -> list[ColumnProfile]:
    return [each for each in table.columns if each.name not in (*wish.keys, wish.label)]


def _table(wish: Wish, found: FoundTable, *, only_label: bool = False) -> DraftTable:
    by_name = {column.name: column for column in found.columns}
    keys = [DraftColumn(_member_name(key), by_name[key], "key") for key in wish.keys]
    if only_label:
        label = DraftColumn(_member_name(wish.label), by_name[wish.label], "label")
        return DraftTable(f"{wish.name}_labels", found, [*keys, label])
    others = [DraftColumn(column_name(each.name), each, _role(each)) for each in _others(wish, found)]
    name = column_name(found.name)[: 45 - len(wish.name)]
    own = name if name.startswith(wish.name) else f"{wish.name}_{name}"
    return DraftTable(own, found, _distinct([*keys, *others], found))


def _distinct(columns: list[DraftColumn], found: FoundTable) -> list[DraftColumn]:
    first: dict[str, str] = {}
    for column in columns:
        if (other := first.setdefault(column.name, column.profile.name)) != column.profile.name:
            raise ConfigurationError(
                f"Columns {other!r} and {column.profile.name!r} of {found.origin} would both be named {column.name}: "
                "rename one of them at its source, or select the columns by a query."
            )
    return columns


def _role(column: ColumnProfile) -> str:
    """`feature`, or why the column is loaded but no feature."""
    if column.nulls == column.rows:
        return "no feature: it is empty"
    if column.nulls > MAX_NULLS * column.rows:
        return f"no feature: {column.nulls / column.rows:.0%} are empty, and a prediction needs every feature"
    if column.distinct == 1 and not column.nulls:
        return "no feature: it is constant"
    if column.kind is Kind.TEXT and not column.category:
        return f"no feature: text of {column.distinct:,} values"
    if column.kind not in FEAST_TYPES:
        return f"no feature: a {column.kind}"
    return "feature"


def _check_keys(table: DraftTable, keys: Sequence[DraftColumn]) -> None:
    for key in keys:
        if key.profile.kind not in KEY_KINDS:
            raise ConfigurationError(
                f"The key {key.profile.name!r} is of kind {key.profile.kind}, and a key is text, a whole number or a "
                "UUID: cast it at its source, such as id::text in a query."
            )
    profile = table.columns[0].profile
    if len(keys) == 1 and (profile.nulls or profile.distinct < profile.rows):
        raise ConfigurationError(
            f"{table.found.origin} has {profile.rows:,} rows of {profile.distinct:,} {profile.name}: a table has one "
            "row for each entity and moment. Name all join keys (--entity a,b), or the column of the moment "
            "(--moment-column)."
        )


def _spelling(wish: Wish, label: ColumnProfile) -> tuple[str, str] | None:
    """The label's values for False and True; None where it has more classes or is a number.

    Raises ConfigurationError where it can be no label, or it is not known which value is positive.
    """
    numeric = label.kind in (Kind.INTEGER, Kind.NUMBER)
    if label.nulls or label.distinct < 2 or not (numeric or label.distinct == 2 or label.category):
        nulls = f" and {label.nulls:,} empty" if label.nulls else ""
        raise ConfigurationError(
            f"The label {label.name!r} has {label.distinct:,} distinct values{nulls} ({', '.join(label.values[:6])}): "
            f"it must be a number, or one of 2 to {MAX_CATEGORIES} classes, in each row. Name another column, or "
            "select such rows by a query."
        )
    if label.distinct > 2:
        return None
    if wish.positive is not None:
        if wish.positive not in label.values:
            raise ConfigurationError(
                f"--positive {wish.positive!r} is no value of {label.name!r}: it has {' and '.join(label.values)}."
            )
        return next(each for each in label.values if each != wish.positive), wish.positive
    folded = spelling_of(label.values, digits=True)
    if folded is None:
        raise ConfigurationError(
            f"Which value of {label.name!r} is the positive class, {' or '.join(label.values)}? Say it by --positive."
        )
    exact = sorted(label.values, key=lambda value: folded.index(value.casefold()))
    return exact[0], exact[1]


def left_out(draft: Draft) -> Iterator[str]:
    """One line for each column that is no feature, and for each table that is left out."""
    yield from (f"{name}: not loaded: it lacks a key" for name in draft.skipped)
    for table in draft.tables:
        for column in table.columns:
            if column.role not in ("key", "feature"):
                yield f"{table.name}.{column.name}: {column.role}"
