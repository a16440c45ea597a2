"""Snapshot -> online store: each entity's newest row as of a moment, for views with new rows."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from asof.features.feast.registry import read_all, registry_conninfo, state_of
from asof.features.feature_store import configuration, feature_store, quiet
from asof.settings import Settings
from training.features.materialisation.plans import Planner, ViewPlan, view_facts
from training.features.materialisation.watermarks import Watermarks, create_watermark_tables

if TYPE_CHECKING:
    from feast import FeatureStore

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
        planner = Planner(connection, str(store.config.online_store.type), moment, whole)
        every = sorted(store.list_feature_views(), key=lambda view: str(view.name))
        views = [view_facts(view.to_proto().spec) for view in every]
        plans = [planner.plan(view) for view in views if view.source not in without]
        materialiser = _Materialiser(store, planner.watermarks, moment)
        done = {plan.name: Refresh(plan.name, None, 0, 0.0) for plan in plans if plan.since is None}
        for since in sorted({plan.since for plan in plans if plan.since is not None}):
            batch = [plan for plan in plans if plan.since == since]
            progress(", ".join(plan.name for plan in batch))
            done |= {each.view: each for each in materialiser.refresh(batch, since)}
    return Materialisation(moment, tuple(done[plan.name] for plan in plans))


def unchanged(
    settings: Settings, *, as_of: datetime | None = None, without: Collection[str] = ()
) -> Materialisation | None:
    """What `materialise` would return if it would write nothing, without importing Feast; None if it would or may.

    The registry must hold the definitions (`applied.is_applied`).
    """
    moment, store = as_of or settings.now(), configuration(settings)
    with psycopg.connect(registry_conninfo(store["registry"]) or "") as connection:
        every = read_all(connection, store["project"], "feature_view").values()
    views = [view for view in every if view.spec.batch_source.name not in without]
    if any(state_of(view) != "AVAILABLE_ONLINE" for view in views):
        return None  # a materialisation was killed
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_watermark_tables(connection)
        planner = Planner(connection, store["online_store"]["type"], moment, whole=False)
        plans = [planner.plan(view_facts(view.spec)) for view in views]
    if any(plan.since is not None for plan in plans):
        return None
    return Materialisation(moment, tuple(Refresh(plan.name, None, 0, 0.0) for plan in plans))


@dataclass(frozen=True)
class _Materialiser:
    """One materialisation into one online store."""

    store: "FeatureStore"
    watermarks: Watermarks
    moment: datetime

    def refresh(self, plans: Sequence[ViewPlan], since: datetime) -> list[Refresh]:
        """Reads views from one moment in one call; if that fails, one by one: Feast does not say which are done."""
        for plan in plans:
            if plan.whole:
                self.watermarks.begin_whole(plan.name)
                self._clear(plan)
            self.watermarks.begin(plan.name, plan.view.text, plan.view.source)
        try:
            return self._read(plans, since)
        except Exception as error:
            if len(plans) == 1:
                raise
            return self._read_singly(plans, since, error)

    def _read(self, plans: Sequence[ViewPlan], since: datetime) -> list[Refresh]:
        begun = perf_counter()
        with quiet():
            self.store.materialize(since, self.moment, feature_views=[plan.name for plan in plans])
        entities = [self._entities(plan, since) for plan in plans]
        for plan, count in zip(plans, entities, strict=True):
            self.watermarks.finish(plan.name, plan.definition, self.moment, load=plan.newest, entities=count)
        seconds = perf_counter() - begun
        return [Refresh(plan.name, since, count, seconds) for plan, count in zip(plans, entities, strict=True)]

    def _read_singly(self, plans: Sequence[ViewPlan], since: datetime, error: Exception) -> list[Refresh]:
        done, failed = list[Refresh](), list[Exception]()
        for plan in plans:
            try:
                done += self._read([plan], since)
            except Exception as own:
                failed.append(own)
        if failed:
            raise failed[0] from error
        return done

    def _clear(self, plan: ViewPlan) -> None:
        """Removes rows that the next write would not replace.

        Our own store keeps the newer of two values, unless it is rewound. Any other would keep later rows of entities
        that are not written now. After a change of definition all rows are removed from either.
        """
        redefined, view = self.watermarks.redefined(plan.name, plan.view.text), self.store.get_feature_view(plan.name)
        store, config = self.store.provider.online_store, self.store.config
        if rewind := getattr(store, "rewind", None):
            rewind(config, view, BEGINNING if redefined else self.moment)
        elif redefined or plan.moves_back:
            for delete, keep in ([view], []), ([], [view]):
                store.update(config, delete, keep, [], [], partial=True)
        if redefined:
            self.watermarks.cleared(plan.name)

    def _entities(self, plan: ViewPlan, since: datetime) -> int:
        view = self.store.get_feature_view(plan.name)
        keys = [self.store.get_entity(name).join_key for name in view.entities]
        query = sql.SQL("SELECT count(DISTINCT ({})) FROM {} WHERE as_of BETWEEN %s AND %s").format(
            sql.SQL(", ").join(map(sql.Identifier, keys)), sql.Identifier(plan.view.source)
        )
        (count,) = self.watermarks.connection.execute(query, (since, self.moment)).fetchone() or (0,)
        return int(count)
