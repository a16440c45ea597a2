"""Tombstones -> what they cover is erased again, as after a backup was restored that is older than they are.

A tombstone has no id: the hash of each entity that is here is compared with those of the tombstones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from asof.errors import DataError
from asof.extracts.sources import InPlace
from asof.features.entity_key import parse
from asof.features.feature_store import configuration
from asof.features.join_keys import JoinKeys, keys_of_extract
from asof.ledger.partitions import partitions
from asof.settings import Settings
from asof.trust.erasure_key import digest, erasure_key
from asof.use_case import UseCase
from online_store.schema.layout import read_layout
from online_store.schema.tables import list_views
from training.data.snapshots.erased import tombstones
from training.data.snapshots.erased.left_out import require_key
from training.data.snapshots.erased.tombstones import Tombstone
from training.data.snapshots.owned_tables import table_exists
from training.erasure.copies.files.archive import entities_of_files
from training.erasure.copies.models.training_sets import entities_of_runs
from training.erasure.erase import TOMBSTONES, Erasure, Progress, finish, remember
from training.erasure.subject import Subject
from training.erasure.work import Work

Values = Mapping[str, Any]
TEXTS = "SELECT DISTINCT entity FROM {} WHERE entity IS NOT NULL"


def erase_again(
    settings: Settings, use_case: UseCase, *, file: Path | None = None, progress: Progress = lambda _: None
) -> list[Erasure]:
    """Erases what tombstones of the use case cover and is here again; an empty list where nothing is.

    Tombstones come from the database, the home, and `file`; the database then has all of them. Raises
    ConfigurationError without their key, DataError where the file is absent or has other lines.
    """
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        every = _tombstones(settings, connection, use_case, file)
        if not every:
            return []
        require_key(key := erasure_key(settings), every)
        tombstones.create_table(connection)
        for each in every:
            tombstones.insert(connection, replace(each, finished_at=each.finished_at or each.until))
    done = []
    for tombstone, keys in _found(settings, use_case, every, key):
        joins = keys_of_extract(use_case.extract)
        typed = {key.name: parse(str(keys[key.name]), key.kind) for key in joins.keys if key.name in keys}
        subject = Subject(joins, typed)
        work = Work(settings, use_case, subject, tombstone.until, tombstone.digest, apply=True, again=True)
        done.append(finish(settings, work, tombstone, progress))
    return [each for each in done if each.count or each.remaining]


def _tombstones(
    settings: Settings, connection: psycopg.Connection[Any], use_case: UseCase, file: Path | None
) -> list[Tombstone]:
    """Of each digest the one that covers most."""
    known = tombstones.read_tombstones(connection, use_case.name)
    stored = {(each.digest, each.until) for each in known}
    if file and not file.exists():
        raise DataError(f"There is no file {file}: name a copy of erasures.jsonl.")
    files = [path for path in (settings.home / TOMBSTONES, file) if path and path.exists()]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    known += [each for line in lines if (each := Tombstone.from_json(line)).use_case == use_case.name]
    newest = {each.digest: each for each in sorted(known, key=lambda each: each.until)}
    for each in newest.values():
        if file and (each.digest, each.until) not in stored:
            remember(settings, each)
    return [*newest.values()]


def _found(
    settings: Settings, use_case: UseCase, every: Sequence[Tombstone], key: bytes
) -> list[tuple[Tombstone, Values]]:
    """The tombstones whose subject is here, with the values of its keys."""
    by_keys: dict[tuple[str, ...], dict[str, Tombstone]] = {}
    for each in every:
        by_keys.setdefault(tuple(each.keys), {})[each.digest] = each
    found: dict[str, tuple[Tombstone, Values]] = {}
    for values in _entities(settings, use_case):
        for keys, tombstones_ in by_keys.items():
            if values.keys() >= set(keys):
                own = {name: values[name] for name in keys}
                hashed = digest(key, use_case.name, own).hex()
                if hashed in tombstones_:
                    found[hashed] = tombstones_[hashed], own
    return [*found.values()]


def _entities(settings: Settings, use_case: UseCase) -> Iterator[Values]:
    """The values of the keys of every entity, as often as there are kinds of copies."""
    joins = keys_of_extract(use_case.extract)
    with psycopg.connect(settings.conninfo()) as connection:
        yield from _in_tables(connection, use_case)
        yield from _in_texts(connection, joins, ["public.scored_users"])
        yield from _in_store(connection, settings)
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        hidden = [f"ledger.{each.name}" for each in partitions(connection) if each.hidden]
        tables = ["ledger.predictions", "ledger.shadow_scores", "ledger.outcomes", *hidden]
        yield from _in_texts(connection, joins, tables)
    for text in entities_of_files(settings):
        if (values := _parsed(joins, text)) is not None:
            yield values
    yield from entities_of_runs(settings, use_case, joins.names)


def _in_tables(connection: psycopg.Connection[Any], use_case: UseCase) -> Iterator[Values]:
    for table in (*use_case.extract.tables, use_case.extract.labels):
        if table_exists(connection, f"public.{table.name}") and not isinstance(table.source, InPlace):
            names = [key.name for key in table.key_columns]
            yield from _rows(connection, sql.Identifier("public", table.name), names, names)


def _in_store(connection: psycopg.Connection[Any], settings: Settings) -> Iterator[Values]:
    store = configuration(settings)
    schema = str(store["online_store"]["db_schema"]).strip()
    for view in list_views(connection, schema, store["project"]):
        layout = read_layout(connection, store["project"], view, schema=schema)
        names, columns = ([getattr(key, which) for key in layout.keys] for which in ("name", "column"))
        yield from _rows(connection, sql.Identifier(schema, layout.table), names, columns)


def _rows(
    connection: psycopg.Connection[Any], table: sql.Identifier, names: Iterable[str], columns: Iterable[str]
) -> Iterator[Values]:
    texts = [sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns]
    query = sql.SQL("SELECT DISTINCT {} FROM {}").format(sql.SQL(", ").join(texts), table)
    with connection.cursor(name="asof_entities") as cursor:
        yield from (dict(zip(names, row, strict=True)) for row in cursor.execute(query))


def _in_texts(connection: psycopg.Connection[Any], joins: JoinKeys, tables: Iterable[str]) -> Iterator[Values]:
    """Of tables with entities' canonical texts, of every use case."""
    for table in tables:
        if table_exists(connection, table):
            with connection.cursor(name="asof_texts") as cursor:
                for (text,) in cursor.execute(sql.SQL(TEXTS).format(sql.Identifier(*table.split(".")))):
                    if (values := _parsed(joins, text)) is not None:
                        yield values


def _parsed(joins: JoinKeys, text: str) -> Values | None:
    """None for the text of another use case's entity."""
    try:
        return dict(zip(joins.names, joins.values(joins.parse(text)), strict=True))
    except (ValueError, KeyError, TypeError):
        return None
