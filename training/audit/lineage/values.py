"""An answer -> for each feature view, the rows that its values came from, and the loads of these rows.

The answer has the moment of the values, the table `materialisations` the newest load that was online at that time. As
the tables are append-only, both identify the row. It is deduced, not recorded, and each result says so. A kept value is
compared with that row's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from asof.ledger.reading.kept_answer import KeptValue
from asof.settings import Settings
from training.audit.lineage.answers import Answer
from training.audit.lineage.loads import Load, Loads
from training.data.snapshots.months.dropped import dropped_moment
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.tables import Connection
from training.features.datasets.point_in_time_sql import ViewSource, listed

LAST_MATERIALISATION = """
SELECT materialisation_id, as_of, load_id, finished_at, later FROM (
    SELECT *, count(*) OVER (ORDER BY materialisation_id DESC) - 1 AS later FROM public.materialisations WHERE view = %s
) AS numbered WHERE finished_at <= %s ORDER BY materialisation_id DESC LIMIT 1"""
ROW_VERSIONS = """
SELECT {columns} FROM {source} AS source WHERE {same_entity} AND {time} = {as_of} ORDER BY 1 DESC"""


@dataclass(frozen=True)
class Materialised:
    """A materialisation up to `load_id`, and how many were `later`. Moments are in UTC."""

    materialisation_id: int
    as_of: datetime
    load_id: int
    finished_at: datetime
    later: int


@dataclass(frozen=True)
class ComparedValue:
    """A value as the answer's was kept, and as the row has it now; both are None for a null."""

    feature: str
    kept: Any
    in_row: Any
    same: bool


@dataclass(frozen=True)
class ValueOrigin:
    """The origin of values of one feature view: the row (entity, as_of, created_at) of `table`.

    `features` names those of this moment if the view's features have several, else it is empty. `created_at` is None if
    there is no such row, `load` if none is recorded, `materialised` if AsOf did not write the online store. `deduced`
    gives the reason for the conclusion, `broken` what does not hold; either may be empty. `values` are the kept ones.
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
    values: tuple[ComparedValue, ...] = ()


def value_origins(settings: Settings, answer: Answer, sources: Sequence[ViewSource]) -> tuple[ValueOrigin, ...]:
    """One for each view of the answer and each moment of its values, by view and moment.

    An answer without a time is taken as given now.
    """
    by_view = {source.view: source for source in sources}
    with psycopg.connect(settings.conninfo()) as connection:
        tracer = _Tracer(connection, Loads(connection), answer)
        return tuple(
            replace(tracer.origin(by_view.get(view), view, as_of), features=features)
            for view, oldest in answer.as_of.items()
            for as_of, features in _moments(answer, by_view.get(view), oldest)
        )


def _moments(answer: Answer, source: ViewSource | None, oldest: datetime) -> list[tuple[datetime, tuple[str, ...]]]:
    """The moments of a view's values, each with its features; a common moment without features."""
    names = source.columns if source else ()
    own = {name: answer.as_of_features[name] for name in names if name in answer.as_of_features}
    if not own:
        return [(oldest, ())]
    return [(as_of, tuple(name for name in own if own[name] == as_of)) for as_of in sorted(set(own.values()))]


@dataclass(frozen=True)
class _Tracer:
    connection: Connection
    loads: Loads
    answer: Answer

    def origin(self, source: ViewSource | None, view: str, as_of: datetime) -> ValueOrigin:
        """The newest row of that moment that was loaded at the last materialisation before the answer."""
        if source is None:
            broken = "The model's feature service lacks this view now."
            return ValueOrigin(view, "", as_of, None, None, None, "", broken)
        last = self._last(view)
        origin = ValueOrigin(view, source.name, as_of, None, None, last, "", "")
        if last is None:
            return replace(origin, broken="No materialisation is recorded before the answer: others filled the store.")
        if last.as_of < as_of:
            return replace(origin, broken=f"The online store was as of {last.as_of}: others wrote this value.")
        for created, row in self._versions(source, as_of):
            load = self.loads.of(source.name, as_of, created)
            if load is None or load.load_id <= last.load_id:
                values, rows = self._compared(view, as_of, row), f"{source.name} as of {as_of}, created at {created}"
                broken = self.loads.problem(source.name, load, rows) or _differences(values)
                origin = replace(origin, created_at=created, load=load, values=values)
                return replace(origin, deduced=self._deduced(last), broken=broken)
        dropped = dropped_moment(self.connection, source.name, as_of)
        return replace(origin, broken=dropped or f"{source.name} holds no row of that moment: others wrote this value.")

    def _last(self, view: str) -> Materialised | None:
        """The last materialisation that had ended when the answer was given."""
        if not table_exists(self.connection, "public.materialisations"):
            return None
        with self.connection.cursor(row_factory=class_row(Materialised)) as cursor:
            last = cursor.execute(LAST_MATERIALISATION, (view, self.answer.at or datetime.now(UTC))).fetchone()
        return last and replace(last, as_of=last.as_of.astimezone(UTC), finished_at=last.finished_at.astimezone(UTC))

    def _versions(self, source: ViewSource, as_of: datetime) -> list[tuple[datetime, Mapping[str, Any]]]:
        """The created_at and the features of each row of the entity and that moment, newest first."""
        columns = (source.created, *source.columns.values())
        query = sql.SQL(ROW_VERSIONS).format(
            columns=listed(sql.Identifier("source", column) for column in columns),
            source=sql.SQL(source.text),  # as in feature_repo/
            same_entity=self._same_entity(source),
            time=sql.Identifier("source", source.time),
            as_of=sql.Literal(as_of),
        )
        rows = self.connection.execute(query).fetchall()
        return [(created.astimezone(UTC), dict(zip(source.columns, row, strict=True))) for created, *row in rows]

    def _compared(self, view: str, as_of: datetime, row: Mapping[str, Any]) -> tuple[ComparedValue, ...]:
        """The kept values of that view and moment beside the row's."""
        kept = [
            each for each in self.answer.values if each.view == view and each.as_of == as_of and each.feature in row
        ]
        return tuple(
            ComparedValue(each.feature, each.value, value := row[each.feature], _same(each, value)) for each in kept
        )

    def _same_entity(self, source: ViewSource) -> sql.Composed:
        entity = self.answer.entity
        values = entity if isinstance(entity, Mapping) else dict.fromkeys(source.keys, entity)
        return sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("source", column), sql.Literal(values[name]))
            for name, column in source.keys.items()
        )

    def _deduced(self, last: Materialised) -> str:
        if self.answer.at is None:
            return "The answer does not say when it was given: the newest materialisation is taken."
        ended = f"{last.finished_at:%Y-%m-%d %H:%M:%S}"
        since = f", and {last.later} more since" if last.later else ""
        return f"The newest row that materialisation {last.materialisation_id} could see, at {ended}{since}."


def _same(kept: KeptValue, in_row: Any) -> bool:
    """A null and NaN are both no number; a Float32 is compared as the store rounds it."""
    missing = [each is None or each != each for each in (kept.value, in_row)]
    if any(missing):
        return all(missing)
    if kept.type == "Float32":
        return bool(np.float32(kept.value) == np.float32(in_row))
    same_type: Any = type(kept.value)  # a row may have a Decimal
    return bool(kept.value == same_type(in_row))


def _differences(values: Sequence[ComparedValue]) -> str:
    differing = [f"{each.feature} was {each.kept} and is {each.in_row} there" for each in values if not each.same]
    return f"The answer's values are not those of the row: {', '.join(differing)}." if differing else ""
