"""Snapshot -> online store: each entity's newest row as of a moment, and only where something new was loaded."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError
from asof.features.feature_definition import definition_of
from asof.features.feature_store import feature_store, quiet
from asof.settings import Settings
from training.features.materialisation.feature_registry import _features
from training.features.materialisation.watermarks import WHOLE, Watermarks, create_watermark_tables

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


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
        create_watermark_tables(connection)
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
    def brought(self) -> Watermarks:
        return Watermarks(self.connection, str(self.store.config.online_store.type))

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


def _digest(*told: Any) -> str:
    """Of what decides a view's values online. Not of Feast's specification: that holds the time of each apply."""
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
