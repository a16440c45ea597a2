"""Feast's SQL registry, read by SQL: what a feature service takes, and how old that may be.

The tables and their messages are those of Feast 0.67 (`feast/infra/registry/sql.py`). What is read is what
`asof.features.feature_store.read_contract` reads through Feast.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from asof.features.definition_records import read_records
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import definition_of
from asof.inference.policies import Registered, view_policy
from asof.serving.features.store.feast_messages import feast_messages
from asof.serving.features.store.reader import lacking

TYPES = {
    "BOOL": "Bool",
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "INT32": "Int32",
    "INT64": "Int64",
    "STRING": "String",
}
"""Feast's name of a value type in messages -> its name in definitions, for the types that models take."""


def read_registry(conninfo: str, project: str, service: str, *, store: str) -> Registered:
    """Blocks. All is read as of one moment; `store` is the type of the online store.

    Raises FeatureContractMismatch where something is missing, psycopg.Error where it cannot be read.
    """
    with psycopg.connect(conninfo) as connection:
        connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        tables = _Tables(connection, project)
        spec = tables.read("feature_service", feast_messages().feature_service, [service])[service].spec
        names = dict.fromkeys(projection.feature_view_name for projection in spec.features)
        views = {
            name: view.spec for name, view in tables.read("feature_view", feast_messages().feature_view, names).items()
        }
        named = dict.fromkeys(entity for view in views.values() for entity in view.entities)
        entities = tables.read("entity", feast_messages().entity, named)
        records = read_records(connection, store, list(names))
    keys = {entity.spec.join_key for entity in entities.values()}
    definitions = {name: definition_of(view) for name, view in views.items()}
    contract = FeatureContract(service, next(iter(keys), ""), tuple(_features(spec.features, views)), definitions)
    policies = {name: view_policy(_ttl(view), view.tags) for name, view in views.items()}
    return Registered(contract, policies, records, beyond=_beyond(spec, views, keys))


@dataclass(frozen=True)
class _Tables:
    """The registry's tables, which are named and built alike."""

    connection: psycopg.Connection[Any]
    project: str

    def read(self, kind: str, message: Any, names: Iterable[str]) -> dict[str, Any]:
        """The objects by name, in the order of `names`. Raises FeatureContractMismatch where one is missing."""
        table = "entities" if kind == "entity" else f"{kind}s"
        query = f"SELECT {kind}_name, {kind}_proto FROM {table} WHERE {kind}_name = ANY(%s) AND project_id = %s"  # noqa: S608
        wanted = list(names)
        try:
            found = dict(self.connection.execute(query, [wanted, self.project], binary=True).fetchall())
        except psycopg.errors.UndefinedTable as error:
            raise lacking(f"the table {table!r}") from error
        for name in wanted:
            if name not in found:
                raise lacking(f"{kind.replace('_', ' ')} {name!r} of project {self.project!r}")
        return {name: message.FromString(found[name]) for name in wanted}


def _features(projections: Sequence[Any], views: Mapping[str, Any]) -> Iterable[Feature]:
    for projection in projections:
        view = projection.feature_view_name
        held = {feature.name for feature in views[view].features}
        for feature in projection.feature_columns:
            if feature.name not in held:
                raise lacking(f"feature {feature.name!r} of view {view!r}")
            yield Feature(feature.name, view, _type(feature))


def _type(feature: Any) -> str:
    name: str = feast_messages().value_types.Name(feature.value_type)
    return TYPES.get(name, name)


def _ttl(view: Any) -> timedelta:
    ttl: timedelta = view.ttl.ToTimedelta()
    return ttl


def _beyond(service: Any, views: Mapping[str, Any], keys: set[str]) -> str:
    """What of this service only Feast itself does: empty where nothing is."""
    columns = [column for view in views.values() for column in view.entity_columns if column.name in keys]
    names = [feature.name for projection in service.features for feature in projection.feature_columns]
    reasons = {
        "not exactly one join key": len(keys) != 1,
        "a join key that is no string": any(_type(column) != "String" for column in columns),
        "a feature that is taken twice": len(names) != len(set(names)),
        "a mapped join key": any(projection.join_key_map for projection in service.features),
        "a version of a view": any(projection.HasField("version_tag") for projection in service.features),
        "a disabled view": any(view.disabled for view in views.values()),
        "vectors computed beforehand": service.precompute_online,
    }
    return ", ".join(reason for reason, holds in reasons.items() if holds)
