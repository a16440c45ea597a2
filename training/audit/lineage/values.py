"""An answer -> for each feature view, the rows that its values came from, and the loads that brought these rows.

The answer tells the moment of the values; the table `materialisations` tells which loads the online store had seen when
it was given. From both follows the row, for the tables are append-only. It is a deduction, and each value says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from asof.settings import Settings
from training.audit.lineage.answers import Answer
from training.audit.lineage.loads import Load, Loads, exists, in_utc, trace_problem
from training.data.snapshots.tables import Connection
from training.features.datasets.point_in_time_sql import ViewSource

LAST = """
SELECT materialisation_id, as_of, load_id, finished_at, later FROM (
    SELECT *, count(*) OVER (ORDER BY materialisation_id DESC) - 1 AS later FROM public.materialisations WHERE view = %s
) AS numbered WHERE finished_at <= %s ORDER BY materialisation_id DESC LIMIT 1"""
VERSIONS = "SELECT {created} FROM {source} AS source WHERE {key} = {entity} AND {time} = {as_of} ORDER BY 1 DESC"


@dataclass(frozen=True)
class Materialised:
    """The online store was brought up to `load_id`, as of a moment; `later` times again since. Moments are in UTC."""

    materialisation_id: int
    as_of: datetime
    load_id: int
    finished_at: datetime
    later: int


@dataclass(frozen=True)
class ValueOrigin:
    """Where values of one feature view came from: the row (entity, as_of, created_at) of `table`.

    `features` names the features that are of this moment, where those of the view differ in it; empty: all of them.
    `created_at` is None where no row is found, `load` where none is recorded, `materialised` where the online store was
    not filled by AsOf. `deduced` says on what the conclusion rests, `broken` what does not hold; empty: nothing.
    """

    view: str
    table: str
    as_of: datetime
    created_at: datetime | None
    load: Load | None
    materialised: Materialised | None
    deduced: str
    broken: str
    features: tuple[str, ...] = ()


def value_origins(settings: Settings, answer: Answer, sources: Sequence[ViewSource]) -> tuple[ValueOrigin, ...]:
    """One for each view of the answer and each moment that its values have, in the order of the views, the oldest
    moment first. An answer without a time is taken as given now."""
    by_view = {source.view: source for source in sources}
    with psycopg.connect(settings.conninfo()) as connection:
        trail = _Trail(connection, Loads(connection), answer)
        return tuple(
            replace(trail.origin(by_view.get(view), view, as_of), features=features)
            for view, oldest in answer.as_of.items()
            for as_of, features in _moments(answer, by_view.get(view), oldest)
        )


def _moments(answer: Answer, source: ViewSource | None, oldest: datetime) -> list[tuple[datetime, tuple[str, ...]]]:
    """The moments of a view's values in an answer, each with its features; where all share one: it, and none."""
    own = (
        {name: answer.as_of_features[name] for name in source.columns if name in answer.as_of_features}
        if source
        else {}
    )
    if not own:
        return [(oldest, ())]
    return [(as_of, tuple(name for name in own if own[name] == as_of)) for as_of in sorted(set(own.values()))]


@dataclass(frozen=True)
class _Trail:
    connection: Connection
    loads: Loads
    answer: Answer

    def origin(self, source: ViewSource | None, view: str, as_of: datetime) -> ValueOrigin:
        """The newest row of that moment that had been loaded when the online store was last filled."""
        if source is None:
            return ValueOrigin(
                view, "", as_of, None, None, None, "", "The model's feature service lacks this view now."
            )
        found = ValueOrigin(view, source.name, as_of, None, None, self._last(view), "", "")
        if found.materialised is None:
            return replace(found, broken="No materialisation is recorded before the answer: others filled the store.")
        if found.materialised.as_of < as_of:
            return replace(
                found, broken=f"The online store was as of {found.materialised.as_of}: others wrote this value."
            )
        for created in self._versions(source, as_of):
            load = self.loads.of(source.name, as_of, created)
            if load is None or load.load_id <= found.materialised.load_id:
                broken = trace_problem(load, f"{source.name} as of {as_of}, created at {created}")
                return replace(
                    found, created_at=created, load=load, deduced=self._deduced(found.materialised), broken=broken
                )
        return replace(found, broken=f"{source.name} holds no row of that moment: others wrote this value.")

    def _last(self, view: str) -> Materialised | None:
        """The last materialisation that had ended when the answer was given."""
        if not exists(self.connection, "materialisations"):
            return None
        with self.connection.cursor(row_factory=class_row(Materialised)) as cursor:
            last = cursor.execute(LAST, (view, self.answer.at or datetime.now(UTC))).fetchone()
        return last and replace(last, as_of=in_utc(last.as_of), finished_at=in_utc(last.finished_at))

    def _versions(self, source: ViewSource, as_of: datetime) -> list[datetime]:
        """When each row of the entity and that moment was known, the newest first."""
        query = sql.SQL(VERSIONS).format(
            created=sql.Identifier("source", source.created),
            source=sql.SQL(source.text),  # as its owner wrote it in feature_repo/
            key=sql.Identifier("source", source.key),
            time=sql.Identifier("source", source.time),
            entity=sql.Literal(self.answer.entity),
            as_of=sql.Literal(as_of),
        )
        return [in_utc(created) for (created,) in self.connection.execute(query).fetchall()]

    def _deduced(self, last: Materialised) -> str:
        if self.answer.at is None:
            return "The answer does not say when it was given: the newest materialisation is taken."
        ended = f"{last.finished_at:%Y-%m-%d %H:%M:%S}"
        since = f", and {last.later} more since" if last.later else ""
        return f"The newest row that materialisation {last.materialisation_id} could see, at {ended}{since}."
