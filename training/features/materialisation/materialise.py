"""Snapshot -> online store: each entity's newest row as of a moment, for views with new rows."""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from asof.errors import ConfigurationError
from asof.features.feature_definition import definition_of
from asof.features.feature_store import feature_store, quiet
from asof.settings import Settings
from training.features.materialisation.feature_registry import feature_types
from training.features.materialisation.watermarks import NO_WATERMARK, Watermarks, create_watermark_tables

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Refresh:
    """One view: the oldest moment read (None: nothing was new), the entities written, and the seconds it took.

    Views that are read from the same moment share one call and its seconds.
    """

    view: str
    since: datetime | None
    entities: int
    seconds: float


@dataclass(frozen=True)
class Materialisation:
    """The state of the online store: the values are as of `as_of`."""

    as_of: datetime
    refreshes: tuple[Refresh, ...]


def materialise(
    settings: Settings,
    *,
    as_of: datetime | None = None,
    whole: bool = False,
    without: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Materialisation:
    """Materialises the newest snapshot as of a moment (default: now) of every feature view into the online store.

    Views on the sources `without`, by name, are left as they are: those of other use cases.
    A view is read from the oldest moment with rows loaded since its last materialisation, so late rows and corrections
    arrive too; it is skipped if there are none. It is read whole the first time, if its definition has changed, if the
    moment is before the last one, if reading it whole was interrupted, or with `whole`. Then the rows replace whatever
    others wrote for the same or a later moment, and rows of a later moment are removed.
    If a view fails, the others are kept and recorded; the error has a note that names the view.
    Raises ConfigurationError if a view has to be rewritten and nothing was loaded under its source's name.
    """
    moment = as_of or settings.now()
    with feature_store(settings) as store, psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_watermark_tables(connection)
        materialiser = _Materialiser(store, connection, moment, whole)
        views = [view for view in store.list_feature_views() if view.batch_source.name not in without]
        plans = [materialiser.plan(view) for view in sorted(views, key=lambda view: view.name)]
        done = {plan.name: Refresh(plan.name, None, 0, 0.0) for plan in plans if plan.since is None}
        for since in sorted({plan.since for plan in plans if plan.since is not None}):
            batch = [plan for plan in plans if plan.since == since]
            progress(", ".join(plan.name for plan in batch))
            done |= {each.view: each for each in materialiser.refresh(batch, since)}
    return Materialisation(moment, tuple(done[plan.name] for plan in plans))


@dataclass(frozen=True)
class _ViewPlan:
    """What is to be read of a view: from `since` (None: nothing is new) up to load `newest`; `whole`: all of it.

    `text` is its definition as in a model's contract, `definition` a digest of all that determines the online values.
    `moves_back`: the store holds a later moment than the requested one.
    """

    view: "FeatureView"
    text: str
    definition: str
    since: datetime | None
    newest: int
    whole: bool
    moves_back: bool

    @property
    def name(self) -> str:
        return str(self.view.name)


@dataclass(frozen=True)
class _Materialiser:
    """One materialisation into one online store."""

    store: "FeatureStore"
    connection: psycopg.Connection
    moment: datetime
    whole: bool

    @property
    def watermarks(self) -> Watermarks:
        return Watermarks(self.connection, str(self.store.config.online_store.type))

    def plan(self, view: "FeatureView") -> _ViewPlan:
        text = definition_of(view.to_proto().spec)
        # Feast's own specification changes with every apply.
        parts = (self.watermarks.store, feature_types(view), text)
        definition = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        redefined = self.watermarks.redefined(view.name, text)
        last = NO_WATERMARK if self.whole or redefined else self.watermarks.last(view.name, definition, self.moment)
        source = view.batch_source.name
        since, newest = self.watermarks.new_rows(source, last, self.moment)
        current = self.watermarks.as_of(view.name)
        moves_back = current is not None and current > self.moment
        if since is None and (moves_back or self.whole):
            since = self.moment  # nothing to read, but what the store holds must be removed
        if since is None and redefined:
            raise ConfigurationError(
                f"{view.name} is defined otherwise than its rows online, and no rows of {source!r} were loaded up to "
                f"{self.moment.isoformat()} to rewrite it. Name its source after the table that it reads."
            )
        return _ViewPlan(
            view, text, definition, since=since, newest=newest, whole=last == NO_WATERMARK, moves_back=moves_back
        )

    def refresh(self, plans: Sequence[_ViewPlan], since: datetime) -> list[Refresh]:
        """Reads views from one moment in one call; if that fails, one by one: Feast does not say which are done."""
        for plan in plans:
            if plan.whole:
                self.watermarks.begin_whole(plan.name)
                self._clear(plan)
            self.watermarks.begin(plan.name, plan.text, plan.view.batch_source.name)
        try:
            return self._read(plans, since)
        except Exception as error:
            if len(plans) == 1:
                raise
            return self._read_singly(plans, since, error)

    def _read(self, plans: Sequence[_ViewPlan], since: datetime) -> list[Refresh]:
        begun = perf_counter()
        with quiet():
            self.store.materialize(since, self.moment, feature_views=[plan.name for plan in plans])
        entities = [self._entities(plan.view, since) for plan in plans]
        for plan, count in zip(plans, entities, strict=True):
            self.watermarks.finish(plan.name, plan.definition, self.moment, load=plan.newest, entities=count)
        seconds = perf_counter() - begun
        return [Refresh(plan.name, since, count, seconds) for plan, count in zip(plans, entities, strict=True)]

    def _read_singly(self, plans: Sequence[_ViewPlan], since: datetime, error: Exception) -> list[Refresh]:
        done, failed = list[Refresh](), list[Exception]()
        for plan in plans:
            try:
                done += self._read([plan], since)
            except Exception as own:
                failed.append(own)
        if failed:
            raise failed[0] from error
        return done

    def _clear(self, plan: _ViewPlan) -> None:
        """Removes rows that the next write would not replace.

        Our own store keeps the newer of two values, unless it is rewound. Any other would keep later rows of entities
        that are not written now. After a change of definition all rows are removed from either.
        """
        redefined = self.watermarks.redefined(plan.name, plan.text)
        store, config = self.store.provider.online_store, self.store.config
        if rewind := getattr(store, "rewind", None):
            rewind(config, plan.view, BEGINNING if redefined else self.moment)
        elif redefined or plan.moves_back:
            for delete, keep in ([plan.view], []), ([], [plan.view]):
                store.update(config, delete, keep, [], [], partial=True)
        if redefined:
            self.watermarks.cleared(plan.name)

    def _entities(self, view: "FeatureView", since: datetime) -> int:
        key = self.store.get_entity(view.entities[0]).join_key
        query = sql.SQL("SELECT count(DISTINCT {}) FROM {} WHERE as_of BETWEEN %s AND %s").format(
            sql.Identifier(key), sql.Identifier(view.batch_source.name)
        )
        (count,) = self.connection.execute(query, (since, self.moment)).fetchone() or (0,)
        return int(count)
