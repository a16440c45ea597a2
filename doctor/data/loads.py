"""Checks of the online store against the loads: views that are behind, interrupted or too old."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from psycopg import sql

from asof.extracts.cadence import moment_text, span_text
from asof.features.feast.messages import feast_messages
from asof.use_case import FromStore, UseCase
from doctor.context import Context
from doctor.finding import Finding, error, listed, note, warning
from doctor.platforms.database import Connection, read_only
from training.data.extracts.deliveries import DELIVERY_NAME, first_described
from training.data.snapshots.tables import NEW_ROWS

INGEST = "python -m flows ingest"
LAST_MATERIALISATION = """
SELECT as_of, load_id, finished_at FROM public.materialisations WHERE view = %s AND coalesce(store, %s) = %s
ORDER BY materialisation_id DESC LIMIT 1
"""
UNSEEN_LOADS = f"""
SELECT count(*) FILTER (WHERE passed IS NOT TRUE), count(*) FILTER (WHERE passed)
FROM (SELECT *, as_of > %(as_of)s AND loaded_at < %(finished)s AS passed FROM public.loads) loads
WHERE (load_id > %(load)s OR as_of > %(as_of)s) AND as_of <= %(now)s
    AND {NEW_ROWS} > 0
"""  # noqa: S608 - constants only
"""`passed`: loaded before the materialisation, which was as of an earlier moment."""
LOADS = "SELECT folder, as_of, known_at, files FROM public.loads ORDER BY load_id DESC"


@dataclass(frozen=True)
class Load:
    """A row of the table `loads`."""

    folder: Path
    as_of: datetime
    known_at: datetime
    files: Collection[str]


@dataclass(frozen=True)
class View:
    """A registered feature view; `refuses`: the service answers 503 if values are older than `ttl`."""

    name: str
    source: str
    ttl: timedelta
    refuses: bool


@dataclass(frozen=True)
class OnlineView:
    """Content of a view in the online store: `as_of` its materialisation (None: never), `newest` its newest row.

    `unseen` is the number of loads after the materialisation, `passed` of earlier loads with a later `as_of`.
    """

    view: View
    as_of: datetime | None
    unseen: int
    passed: int
    newest: datetime | None


def check_loads(context: Context) -> Iterator[Finding]:
    """What is loaded and what is online."""
    if not any(hasattr(each.source, "extract") for each in context.use_cases):
        return
    with read_only(context.settings) as connection:
        if not _has_table(connection, "public.loads"):
            yield note("nothing-loaded", "No extract is loaded yet.", "python -m flows ingest  (or `make demo`)")
            return
        views = registered_views(connection)
        if not views:
            yield error("no-features", "The registry holds no feature view.", "python -m flows ingest")
        online = [
            _online_view(connection, view, context) for view in views if _has_table(connection, f"public.{view.source}")
        ]
        unfinished = _unfinished(connection, context.settings.online_store)
        again = repeat_ingest([Load(Path(row[0]), *row[1:]) for row in connection.execute(LOADS)], context.use_cases)
    yield from check_interrupted(unfinished, again)
    yield from check_behind(online, again)
    yield from check_age(online, context.settings.now())


def registered_views(connection: Connection) -> list[View]:
    """The views in Feast's SQL registry, read without Feast; empty before the first `feast apply`."""
    if not _has_table(connection, "feature_views"):
        return []
    rows = connection.execute("SELECT feature_view_proto FROM feature_views ORDER BY feature_view_name", binary=True)
    specs = [feast_messages().feature_view.FromString(row[0]).spec for row in rows]
    return [
        View(each.name, each.batch_source.name, each.ttl.ToTimedelta(), each.tags.get("staleness") != "flag")
        for each in specs
    ]


def repeat_ingest(loads: Sequence[Load], use_cases: Iterable[UseCase]) -> str:
    """The command that repeats the last ingest; `loads` are sorted newest first."""
    if not loads:
        return INGEST
    last = loads[0]
    if not str(last.folder).startswith("/"):
        return " ".join([INGEST, *(each.name for each in use_cases if _has_files(each, last.files))])
    single = not DELIVERY_NAME.fullmatch(last.folder.name)
    beside = [last, *(each for each in loads if each.folder.parent == last.folder.parent and not single)]
    days = [first_described(each.folder, each.as_of.astimezone(UTC)) for each in beside]
    words = [INGEST, *(each.name for each in use_cases if _has_files(each, last.files))]
    words += [shlex.quote(str(last.folder if single else last.folder.parent))]
    words += [f"--as-of {moment_text(min(firsts))}"] if (firsts := [day for day in days if day]) else []
    words += ["--backfill"] if last.known_at.astimezone(UTC).time() == time.min else []
    return " ".join(words)


def check_behind(online: Sequence[OnlineView], again: str) -> Iterator[Finding]:
    """Views that miss loads."""
    behind = [f"{each.view.name} ({each.unseen if each.as_of else 'all'})" for each in online if each.unseen]
    if behind:
        found = (
            f"The online store is behind the snapshots; views with loads that are not materialised: {listed(behind)}."
        )
        yield error("behind", found, f"{again}  (adds only what is new)")
    if earlier := [each.view.name for each in online if each.passed]:
        found = f"Views materialised as of an earlier moment than the newest snapshot: {listed(earlier)}."
        yield warning("earlier-moment", found, f"{again}  (materialises the newest)")


def check_age(online: Iterable[OnlineView], now: datetime) -> Iterator[Finding]:
    """Views whose newest row is older than their ttl: the service refuses or flags every answer."""
    for each in online:
        if each.newest is None or not each.view.ttl or now - each.newest <= each.view.ttl:
            continue
        age, what = (
            span_text(now - each.newest),
            "answers 503 to every request" if each.view.refuses else "flags every answer",
        )
        name, source, ttl = each.view.name, each.view.source, span_text(each.view.ttl)
        found = f"The newest row of {name} is {age} old (ttl {ttl}): the service {what}."
        fix = f"Ingest newer rows into {source}, or serve old ones with ASOF_CLOCK={moment_text(each.newest)}."
        yield (error if each.view.refuses else warning)(f"outdated:{each.view.name}", found, fix)


def check_interrupted(views: list[str], again: str) -> Iterator[Finding]:
    """Views whose full rewrite was interrupted: some users are not found."""
    if views:
        found = f"The full rewrite of {listed(views)} did not finish: users may be missing online."
        yield error("interrupted", found, f"Unless an ingest runs now: {again}")


def _has_files(use_case: UseCase, files: Collection[str]) -> bool:
    tables = {name.partition(".")[0] for name in files}
    return isinstance(use_case.source, FromStore) and any(
        each.name in tables for each in use_case.extract.loaded_tables
    )


def _online_view(connection: Connection, view: View, context: Context) -> OnlineView:
    store, now = context.settings.online_store, context.settings.now()
    last = None
    if _has_table(connection, "public.materialisations"):
        last = connection.execute(LAST_MATERIALISATION, (view.name, store, store)).fetchone()
    as_of, load, finished = last or (None, 0, None)
    parameters = {"as_of": as_of or now, "load": load, "finished": finished, "now": now, "table": view.source}
    unseen, passed = connection.execute(UNSEEN_LOADS, parameters).fetchone() or (0, 0)
    query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of <= %s").format(sql.Identifier("public", view.source))
    newest = connection.execute(query, (as_of or now,)).fetchone() or (None,)
    return OnlineView(view, as_of, int(unseen), int(passed), newest[0])


def _unfinished(connection: Connection, store: str) -> list[str]:
    if not _has_table(connection, "public.whole_materialisations_begun"):
        return []
    query = "SELECT view FROM public.whole_materialisations_begun WHERE store = %s ORDER BY 1"
    return [row[0] for row in connection.execute(query, (store,))]


def _has_table(connection: Connection, table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,)
