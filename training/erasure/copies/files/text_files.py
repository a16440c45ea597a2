"""Copies in text: logs of servers, and pages, in the home.

A file is changed in place and keeps its length: servers hold it open and go on appending. Everything but the entity's
id stays.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psycopg

from training.erasure.copies.models.signed_folders import replaced
from training.erasure.work import Copy, Work

SUFFIXES = frozenset({"", ".csv", ".err", ".htm", ".html", ".json", ".jsonl", ".log", ".md", ".out", ".txt", ".gz"})
OTHERS = ("artifacts", "bentoml", "following", "keys", "ledger", "extracts", "postgres/data")
"""Folders of the home with copies of other kinds, or with none."""
SERVER_LOG = "server.log"
"""Beside the data of the embedded PostgreSQL."""


def erase(work: Work) -> Iterator[Copy]:
    """Lines of any text that mention the subject."""
    for path in (*_texts(work), *_servers_log(work)):
        if count := _each_line(path, work):
            yield Copy(str(path), count)


def _texts(work: Work) -> Iterator[Path]:
    home = work.settings.home.absolute()
    others = [home / name for name in OTHERS]
    for root in dict.fromkeys((home, work.settings.prefect_home.absolute())):
        for path in sorted(root.rglob("*")):
            inside = not any(path.is_relative_to(each) for each in others)
            if inside and path.suffix in SUFFIXES and path.is_file() and not path.is_symlink():
                yield path


def _servers_log(work: Work) -> Iterator[Path]:
    """That of the embedded PostgreSQL, which may be outside the home; other roles and servers do not tell."""
    with psycopg.connect(work.settings.conninfo()) as connection:
        row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
    path = Path(row[0] if row else "none").with_name(SERVER_LOG)
    if path.is_file() and not path.is_relative_to(work.settings.home.absolute()):
        yield path


def _each_line(path: Path, work: Work) -> int:
    """How many lines change; with `apply` the file is changed."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        changed = {at: new for at, line in _placed(file) if (new := _changed(work, line)) is not None}
    if changed and work.apply:
        (_rewrite if path.suffix == ".gz" else _overwrite)(path, changed)
    return len(changed)


def _placed(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line without its line break, and where it begins."""
    at = 0
    for line in file:
        yield at, line.rstrip(b"\n")
        at += len(line)


def _changed(work: Work, line: bytes) -> bytes | None:
    """The line without the subject, of as many bytes; None where it is not about it."""
    new = work.subject.redacted(line.decode(errors="surrogateescape"))
    return None if new is None else new.encode(errors="surrogateescape").ljust(len(line))


def _overwrite(path: Path, changed: Mapping[int, bytes]) -> None:
    with path.open("r+b") as file:
        for at, line in changed.items():
            file.seek(at)
            file.write(line)


def _rewrite(path: Path, changed: Mapping[int, bytes]) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    for at, line in changed.items():
        content[at : at + len(line)] = line
    replaced(path, gzip.compress(content))
