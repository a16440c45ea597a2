"""Loads, materialisations, feature views -> is the online store behind the snapshots, or are all values too old."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from psycopg import sql

from asof.serving.features.store.feast_messages import feast_messages
from asof.use_case import FromStore, UseCase
from doctor.finding import Finding, error, listed, note, warning
from doctor.given import Given
from doctor.platforms.database import Connection, reading
from training.data.extracts.deliveries import DELIVERY_NAME, first_described

INGEST = "python -m flows ingest"
LAST = """
SELECT as_of, load_id, finished_at FROM public.materialisations WHERE view = %s AND coalesce(store, %s) = %s
ORDER BY materialisation_id DESC LIMIT 1
"""
UNSEEN = """
SELECT count(*) FILTER (WHERE passed IS NOT TRUE), count(*) FILTER (WHERE passed)
FROM (SELECT *, as_of > %(as_of)s AND loaded_at < %(finished)s AS passed FROM public.loads) loads
WHERE (load_id > %(load)s OR as_of > %(as_of)s) AND as_of <= %(now)s
    AND coalesce((files -> %(file)s ->> 'new_rows')::bigint, 0) > 0
"""
"""`passed`: it was loaded already, and the store was filled as of an earlier moment."""
LOADED = "SELECT folder, as_of, known_at, files FROM public.loads ORDER BY load_id DESC"


@dataclass(frozen=True)
class Loaded:
    """A load as the table `loads` has it."""

    folder: Path
    as_of: datetime
    known_at: datetime
    files: Collection[str]


@dataclass(frozen=True)
class View:
    """A registered feature view; `refuses` says that the service answers 503 where its values are older than `ttl`."""

    name: str
    source: str
    ttl: timedelta
    refuses: bool


@dataclass(frozen=True)
class Shown:
    """What the online store shows of a view: as of when (None: never filled), and its newest row's moment.

    `unseen` counts loads that came after, `passed` those of later moments that were there already.
    """

    view: View
    as_of: datetime | None
    unseen: int
    passed: int
    newest: datetime | None


def look_at_loads(given: Given) -> Iterator[Finding]:
    """Every check on what is loaded and what is online."""
    if not any(hasattr(each.source, "extract") for each in given.use_cases):
        return
    with reading(given.settings) as connection:
        if not _has(connection, "public.loads"):
            yield note("nothing-loaded", "No extract is loaded yet.", "python -m flows ingest  (or `make demo`)")
            return
        views = registered_views(connection)
        if not views:
            yield error("no-features", "The registry holds no feature view.", "python -m flows ingest")
        shown = [_shown(connection, view, given) for view in views if _has(connection, f"public.{view.source}")]
        begun = _begun(connection, given.settings.online_store)
        again = ingest_again([Loaded(Path(row[0]), *row[1:]) for row in connection.execute(LOADED)], given.use_cases)
    yield from interrupted(begun, again)
    yield from behind(shown, again)
    yield from outdated(shown, given.settings.now())


def registered_views(connection: Connection) -> list[View]:
    """The views in Feast's SQL registry, read without Feast; none where nothing was ever applied."""
    if not _has(connection, "feature_views"):
        return []
    found = connection.execute("SELECT feature_view_proto FROM feature_views ORDER BY feature_view_name", binary=True)
    specs = [feast_messages().feature_view.FromString(row[0]).spec for row in found]
    return [
        View(each.name, each.batch_source.name, each.ttl.ToTimedelta(), each.tags.get("staleness") != "flag")
        for each in specs
    ]


def ingest_again(loads: Sequence[Loaded], use_cases: Iterable[UseCase]) -> str:
    """The command that ingests once more what was loaded last; `loads` are the newest first."""
    if not loads:
        return INGEST
    last = loads[0]
    alone = not DELIVERY_NAME.fullmatch(last.folder.name)
    beside = [last, *(each for each in loads if each.folder.parent == last.folder.parent and not alone)]
    days = [first_described(each.folder, each.as_of.astimezone(UTC).date()) for each in beside]
    words = [INGEST, shlex.quote(str(last.folder if alone else last.folder.parent))]
    words += [f"--as-of {min(firsts)}"] if (firsts := [day for day in days if day]) else []
    words += ["--backfill"] if last.known_at.astimezone(UTC).time() == time.min else []
    words += [f"--use-case {each.name}" for each in use_cases if _has_files(each, last.files)]
    return " ".join(words)


def behind(shown: Sequence[Shown], again: str) -> Iterator[Finding]:
    """Loads that are not online."""
    late = [
        f"{each.view.name} ({each.unseen})" if each.as_of else f"{each.view.name} (all)"
        for each in shown
        if each.unseen
    ]
    if late:
        found = f"The online store is behind the snapshots; views with loads that are not online: {listed(late)}."
        yield error("behind", found, f"{again}  (loads nothing twice, and writes online what is new)")
    if earlier := [each.view.name for each in shown if each.passed]:
        found = f"Views filled as of a moment before the newest snapshot (--online-as-of): {listed(earlier)}."
        yield warning("earlier-moment", found, f"{again}  shows the newest again.")


def outdated(shown: Iterable[Shown], now: datetime) -> Iterator[Finding]:
    """Views whose newest row is older than their ttl: the service refuses or flags every user."""
    for each in shown:
        if each.newest is None or not each.view.ttl or now - each.newest <= each.view.ttl:
            continue
        age, what = now - each.newest, "answers 503 to every request" if each.view.refuses else "flags every answer"
        found = (
            f"The newest row of {each.view.name} is {age.days} days old (ttl {each.view.ttl.days}): the service {what}."
        )
        mend = (
            f"Ingest a newer month into {each.view.source}, or serve an old one with ASOF_CLOCK={each.newest:%Y-%m-%d}."
        )
        yield (error if each.view.refuses else warning)(f"outdated:{each.view.name}", found, mend)


def interrupted(views: list[str], again: str) -> Iterator[Finding]:
    """A view whose rewriting was interrupted: some of its users are not found."""
    if views:
        found = f"The rewriting of {listed(views)} did not finish: users may be missing online."
        yield error("interrupted", found, f"Unless an ingest runs now: {again}")


def _has_files(use_case: UseCase, files: Collection[str]) -> bool:
    if not isinstance(use_case.source, FromStore):
        return False
    extract = use_case.extract
    return any(f"{table.name}.csv" in files for table in (*extract.tables, extract.labels))


def _shown(connection: Connection, view: View, given: Given) -> Shown:
    store, now = given.settings.online_store, given.settings.now()
    last = None
    if _has(connection, "public.materialisations"):
        last = connection.execute(LAST, (view.name, store, store)).fetchone()
    as_of, load, finished = last or (None, 0, None)
    told = {"as_of": as_of or now, "load": load, "finished": finished, "now": now, "file": f"{view.source}.csv"}
    unseen, passed = connection.execute(UNSEEN, told).fetchone() or (0, 0)
    query = sql.SQL("SELECT max(as_of) FROM {} WHERE as_of <= %s").format(sql.Identifier("public", view.source))
    newest = connection.execute(query, (as_of or now,)).fetchone() or (None,)
    return Shown(view, as_of, int(unseen), int(passed), newest[0])


def _begun(connection: Connection, store: str) -> list[str]:
    if not _has(connection, "public.whole_materialisations_begun"):
        return []
    query = "SELECT view FROM public.whole_materialisations_begun WHERE store = %s ORDER BY 1"
    return [row[0] for row in connection.execute(query, (store,))]


def _has(connection: Connection, table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,)
