"""Where a text stands: in every column of every table of some databases, and in every file below some folders."""

import gzip
import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql
from pyarrow import parquet

METADATA = "metadata of a file: "
DIGEST = re.compile(r"-[0-9a-f]{12}(?=\.parquet$)")
"""In the name of a file of the ledger, which is another one once a row is gone."""
TABLES = """
SELECT nspname, relname FROM pg_class JOIN pg_namespace schemas ON schemas.oid = relnamespace
WHERE relkind = 'r' AND (nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') OR relname = 'pg_statistic')
ORDER BY 1, 2"""


def places(needle: str, conninfos: Iterable[str], folders: Iterable[Path]) -> Counter[str]:
    """How many rows or files have the text, which is no part of a longer word, by table or path."""
    found = Counter[str]()
    for place, texts in _everything(conninfos, folders):
        found[place] += sum(bool(_pattern(needle).search(text)) for text in texts)
    return +found


def others(needle: str, conninfos: Iterable[str], folders: Iterable[Path]) -> dict[str, Counter[str]]:
    """By table or path the MD5 of each row or line that does not have the text."""
    found = {}
    for place, texts in _everything(conninfos, folders):
        rows = [text.encode(errors="surrogateescape") for text in texts if not _pattern(needle).search(text)]
        found[place] = Counter(hashlib.md5(row).hexdigest() for row in rows if not row.startswith(METADATA.encode()))
    return found


def _pattern(needle: str) -> re.Pattern[str]:
    either = "|".join(map(re.escape, (needle, needle.replace("-", ""))))
    number = int(needle).to_bytes(8, "little").hex() if needle.isdigit() else "no number"
    in_hex = rf"(?<!2d){needle.encode().hex()}(?!3[0-9]|2d)|{number}"
    return re.compile(rf"(?<![0-9A-Za-z-])({either})(?![0-9A-Za-z-])|{in_hex}", re.IGNORECASE)


def _everything(conninfos: Iterable[str], folders: Iterable[Path]) -> Iterator[tuple[str, list[str]]]:
    for conninfo in conninfos:
        with psycopg.connect(conninfo) as connection:
            for schema, table in connection.execute(TABLES).fetchall():
                query = sql.SQL("SELECT whole::text FROM {} AS whole").format(sql.Identifier(schema, table))
                yield f"{schema}.{table}", [text for (text,) in connection.execute(query)]
    for folder in folders:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            yield DIGEST.sub("", str(path.relative_to(folder))), _texts(path)


def _texts(path: Path) -> list[str]:
    match path.suffix:
        case ".parquet":
            table = parquet.read_table(path)
            return [*map(str, table.to_pylist()), f"{METADATA}{table.schema.metadata}"]
        case ".gz":
            content = gzip.decompress(path.read_bytes())
        case ".db":
            with closing(sqlite3.connect(path)) as connection:
                return [*connection.iterdump(), path.read_bytes().decode(errors="replace")]
        case _:
            content = path.read_bytes()
    return content.decode(errors="surrogateescape").split("\n")
