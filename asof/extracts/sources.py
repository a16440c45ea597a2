"""Where the rows of a raw table come from: files of a delivery, a query, or a table that is used in place.

The rows of every source are checked alike, have the same two times and the same lineage.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from asof.errors import ConfigurationError

SERVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
ALL_OTHERS = ("*",)
DEFAULT_SERVER = "source"
"""The server of ASOF_SOURCE_URL; any other name is that of ASOF_SOURCE_URL_<NAME>."""
PARAMETER = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|::"""
    r"""|:(?P<name>as_of|known_at)\b""",
    re.DOTALL,
)
"""A parameter of a query, or what may hold its text without being one: strings, names, comments, casts."""


@dataclass(frozen=True)
class CsvFile:
    """`NAME.csv`, `NAME.csv.gz` or `NAME.csv.zst`, in a declared dialect; NAME is `file`, or else the table's name.

    `header` maps a name in the file's header to its column; with `any_case` the case of the header does not matter;
    columns named in `ignored` (as in the file; ALL_OTHERS: those that the table lacks) are not read. `nulls` are the
    spellings of a missing value, `true` and `false` those of a boolean, in any case; `date_format` are strptime
    formats, the first that fits. An empty `quote` or `thousands` means that there is none. Raises ConfigurationError
    for a dialect that no file can have.
    """

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    quote: str = '"'
    date_format: tuple[str, ...] = ("%Y-%m-%d",)
    nulls: tuple[str, ...] = ("",)
    true: tuple[str, ...] = ("true",)
    false: tuple[str, ...] = ("false",)
    header: Mapping[str, str] = field(default_factory=dict, hash=False)
    any_case: bool = False
    ignored: tuple[str, ...] = ()
    file: str = ""

    def __post_init__(self) -> None:
        marks = {"separator": self.separator, "decimal": self.decimal}
        marks |= {name: mark for name in ("thousands", "quote") if (mark := getattr(self, name))}
        if long := [name for name, mark in marks.items() if len(mark) != 1 or not mark.isascii()]:
            raise ConfigurationError(f"CsvFile: {long[0]} must be one ASCII character, not {marks[long[0]]!r}.")
        for one, other in (("separator", "quote"), ("decimal", "thousands")):
            if marks[one] == marks.get(other):
                raise ConfigurationError(f"CsvFile: {one} and {other} are both {marks[one]!r}: change one of them.")
        if both := {each.casefold() for each in self.true} & {each.casefold() for each in self.false}:
            raise ConfigurationError(f"CsvFile: {min(both)!r} is listed as true and as false: remove it from one.")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ConfigurationError(
                f"CsvFile: Python knows no encoding {self.encoding!r}: use a name such as utf-8 or cp1252."
            ) from None


@dataclass(frozen=True)
class ParquetFile:
    """`NAME.parquet`: a file, or a folder of Parquet files, which may be partitioned as by Hive (`country=de/`).

    `columns` maps a name in the file to its column; columns named in `ignored`, as in CsvFile, are not read. NAME is
    `file`, or else the table's name.
    """

    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    ignored: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True)
class PostgresQuery:
    """The rows of a query, or of a table or view named by one word, on a PostgreSQL server that is only read.

    `:as_of` and `:known_at` in it are the moment that the rows describe, and the moment up to which events had been
    recorded. `server` is `source` for ASOF_SOURCE_URL (unset: our own PostgreSQL), else the name of
    ASOF_SOURCE_URL_<NAME>. `timeout` is in seconds, for the whole query. Raises ConfigurationError.
    """

    query: str
    server: str = DEFAULT_SERVER
    timeout: float = 300.0

    def __post_init__(self) -> None:
        if not SERVER_NAME.fullmatch(self.server):
            raise ConfigurationError(
                f"PostgresQuery: server {self.server!r} must have lowercase letters, digits and underscores, as the "
                "end of ASOF_SOURCE_URL_<NAME>, in lowercase."
            )
        if not self.query.strip() or self.timeout <= 0:
            raise ConfigurationError("PostgresQuery: it needs a query or a table, and a timeout above 0 seconds.")

    @property
    def parameters(self) -> frozenset[str]:
        """Which of `as_of` and `known_at` it takes."""
        return frozenset(match["name"] for match in PARAMETER.finditer(self.query) if match["name"])

    def text(self, values: Mapping[str, str]) -> str:
        """The query as one SELECT without parameters; `values` are SQL literals."""
        text = self.query.strip().rstrip(";").rstrip()
        if re.fullmatch(r'[\w$."]+', text):
            text = f"SELECT * FROM {text}"  # noqa: S608 - a use case's own text
        return PARAMETER.sub(lambda match: values[match["name"]] if match["name"] else match[0], text)


@dataclass(frozen=True)
class InPlace:
    """A table or view of the serving database that has both times already; its rows are never copied.

    `as_of` and `known_at` are its columns of the moment from which a row holds, and of that at which it was known, such
    as `dbt_valid_from` for both in a dbt snapshot; a time without a zone is taken as UTC. A view named as the raw table
    gives them the names that feature views expect.
    """

    table: str
    as_of: str = "as_of"
    known_at: str = "created_at"


Source = CsvFile | ParquetFile | PostgresQuery | InPlace
PLAIN_CSV = CsvFile()
"""Commas, points, UTF-8, dates as in 2024-01-31."""
