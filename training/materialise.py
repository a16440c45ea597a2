"""Snapshot -> online store: each entity's newest row as of a moment, and only where something new was loaded."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError
from asof.feature_definition import definition_of
from asof.feature_store import REPOSITORY, feature_store, quiet
from asof.feature_support import require_readable, require_takeable
from asof.settings import Settings
from training.brought import WHOLE, Brought, make_state

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FeatureView
    from feast.repo_contents import RepoContents


BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Refresh:
    """One view's part: the oldest moment read again (None: nothing was new), entities written, and seconds.

    Views that are read from the same moment are read by one call, side by side: the seconds are those of the call.
    """

    view: str
    since: datetime | None
    entities: int
    seconds: float


@dataclass(frozen=True)
class Materialisation:
    """The online store after the stage: what it shows is as of `as_of`."""

    as_of: datetime
    refreshes: tuple[Refresh, ...]


def apply_features(settings: Settings) -> None:
    """Registers what feature_repo/ defines, as `feast apply` does; objects that are no longer defined are removed.

    Raises ConfigurationError as `check_features` does.
    """
    from feast.repo_operations import extract_objects_for_apply_delete

    with feature_store(settings) as store, defined_features() as found:
        apply, delete, _, _ = extract_objects_for_apply_delete(store.project, store.registry, found)
        store.apply(apply, objects_to_delete=delete, partial=False)


def check_features() -> None:
    """Raises ConfigurationError where feature_repo/ defines a view or a service that cannot be used here."""
    with defined_features():
        pass


@contextlib.contextmanager
def defined_features() -> "Iterator[RepoContents]":
    """What feature_repo/ defines, checked; in its folder and silently for the time of a block."""
    from feast.repo_operations import parse_repo

    with contextlib.chdir(REPOSITORY), _importable(str(REPOSITORY)), quiet():
        found = parse_repo(REPOSITORY)
        require_readable(found.feature_views)
        views = [*found.feature_views, *found.on_demand_feature_views, *found.stream_feature_views]
        for service in found.feature_services:
            require_takeable(service, {view.name: view for view in views})
        yield found


def unapplied_features(settings: Settings) -> list[str]:
    """The views and services that `apply_features` would change in the registry, by name; nothing is changed here.

    Feast's own difference (`feast plan`) is never empty: it compares what only applying fills in.
    """
    with feature_store(settings) as store, defined_features() as found:
        wanted = _told([*found.feature_views, *found.feature_services])
        known = _told([*store.list_feature_views(), *store.list_feature_services()])
    return sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))


def materialise(
    settings: Settings,
    *,
    as_of: datetime | None = None,
    whole: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Materialisation:
    """Brings every feature view of the online store to the newest snapshot as of a moment (default: now).

    A view is read again from the oldest moment for which rows were loaded since its last time, so that late rows and
    corrections arrive too, and not at all where nothing was loaded. It is read whole the first time, when its
    definition has changed, when the moment lies before the last one, when it was to be read whole and that did not end,
    or with `whole`: what others have written into the online store of a later moment, or of the same, gives way then.
    Rows of a later moment go where the store showed one: of an entity of which nothing was known, none is left.
    Where a view fails, others that were read beside it are kept and noted; the error has a note that names it.
    Raises ConfigurationError where a view has to be written again, and nothing was loaded under its source's name.
    """
    moment = as_of or settings.now()
    with feature_store(settings) as store, psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        make_state(connection)
        stage = _Stage(store, connection, moment, whole)
        dues = [stage.due(view) for view in sorted(store.list_feature_views(), key=lambda view: view.name)]
        done = {due.name: Refresh(due.name, None, 0, 0.0) for due in dues if due.since is None}
        for since in sorted({due.since for due in dues if due.since is not None}):
            together = [due for due in dues if due.since == since]
            progress(", ".join(due.name for due in together))
            done |= {each.view: each for each in stage.refresh(together, since)}
    return Materialisation(moment, tuple(done[due.name] for due in dues))


@dataclass(frozen=True)
class _Due:
    """What is to be read of a view: from when (None: nothing is new), up to which load, and whether all of it.

    `text` is its definition as a model's contract has it, `definition` a digest of all that decides what is online.
    `back` says that the store shows a later moment than it is to show.
    """

    view: "FeatureView"
    text: str
    definition: str
    since: datetime | None
    newest: int
    whole: bool
    back: bool

    @property
    def name(self) -> str:
        return str(self.view.name)


@dataclass(frozen=True)
class _Stage:
    store: "FeatureStore"
    connection: psycopg.Connection
    moment: datetime
    whole: bool

    @property
    def brought(self) -> Brought:
        return Brought(self.connection, str(self.store.config.online_store.type))

    def due(self, view: "FeatureView") -> _Due:
        text = definition_of(view.to_proto().spec)
        definition = _digest(self.brought.store, _features(view), text)
        redefined = self.brought.redefined(view.name, text)
        last = WHOLE if self.whole or redefined else self.brought.last(view.name, definition, self.moment)
        source = view.batch_source.name
        since, newest = self.brought.unseen(source, last, self.moment)
        shown = self.brought.shown(view.name)
        back = shown is not None and shown > self.moment
        if since is None and (back or self.whole):
            since = self.moment  # there is nothing to read, and what the store holds must go
        if since is None and redefined:
            raise ConfigurationError(
                f"{view.name} is defined otherwise than its rows online, and no rows of {source!r} were loaded up to "
                f"{self.moment.isoformat()} to write it again. Name its source after the table that it reads."
            )
        return _Due(view, text, definition, since=since, newest=newest, whole=last == WHOLE, back=back)

    def refresh(self, dues: Sequence[_Due], since: datetime) -> list[Refresh]:
        """Those that are due from one moment; where one fails, each by itself: Feast does not say which are done."""
        for due in dues:
            if due.whole:
                self.brought.begin_anew(due.name)
                self._make_room(due)
            self.brought.begin(due.name, due.text, due.view.batch_source.name)
        try:
            return self._read(dues, since)
        except Exception as error:
            if len(dues) == 1:
                raise
            return self._read_apart(dues, since, error)

    def _read(self, dues: Sequence[_Due], since: datetime) -> list[Refresh]:
        begun = perf_counter()
        with quiet():
            self.store.materialize(since, self.moment, feature_views=[due.name for due in dues])
        entities = [self._entities(due.view, since) for due in dues]
        for due, count in zip(dues, entities, strict=True):
            self.brought.finish(due.name, due.definition, self.moment, load=due.newest, entities=count)
        seconds = perf_counter() - begun
        return [Refresh(due.name, since, count, seconds) for due, count in zip(dues, entities, strict=True)]

    def _read_apart(self, dues: Sequence[_Due], since: datetime, error: Exception) -> list[Refresh]:
        done, failed = list[Refresh](), list[Exception]()
        for due in dues:
            try:
                done += self._read([due], since)
            except Exception as own:
                failed.append(own)
        if failed:
            raise failed[0] from error
        return done

    def _make_room(self, due: _Due) -> None:
        """Our own store lets no older value replace a newer one: it has to be told that this one is to win.

        Any other would keep the later rows of entities that are not written now, so it is emptied of the view. So is
        each where another definition wrote the rows: an entity of which this one has no row would else keep its values.
        """
        redefined = self.brought.redefined(due.name, due.text)
        store, config = self.store.provider.online_store, self.store.config
        if rewind := getattr(store, "rewind", None):
            rewind(config, due.view, BEGINNING if redefined else self.moment)
        elif redefined or due.back:
            for delete, keep in ([due.view], []), ([], [due.view]):
                store.update(config, delete, keep, [], [], partial=True)
        if redefined:
            self.brought.cleared(due.name)

    def _entities(self, view: "FeatureView", since: datetime) -> int:
        key = self.store.get_entity(view.entities[0]).join_key
        query = sql.SQL("SELECT count(DISTINCT {}) FROM {} WHERE as_of BETWEEN %s AND %s").format(
            sql.Identifier(key), sql.Identifier(view.batch_source.name)
        )
        (count,) = self.connection.execute(query, (since, self.moment)).fetchone() or (0,)
        return int(count)


def _features(view: "FeatureView") -> list[list[str]]:
    return [[field.name, str(field.dtype)] for field in view.features]


def _digest(*told: Any) -> str:
    """Of what decides a view's values online. Not of Feast's specification: that holds the time of each apply."""
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _told(objects: "Iterable[FeatureView | FeatureService]") -> dict[str, Any]:
    """What our code reads of each view and service."""
    return {
        each.name: (_features(each), each.entities, _source(each.batch_source), each.ttl, dict(each.tags))
        if hasattr(each, "batch_source")
        else [(part.name, [str(field) for field in part.features]) for part in each.feature_view_projections]
        for each in objects
    }


def _source(source: Any) -> list[Any]:
    times = [source.timestamp_field, source.created_timestamp_column]
    return [source.get_table_query_string(), *times, sorted(source.field_mapping.items())]


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
