"""Reads a feature service and its views from Feast's SQL registry without importing Feast.

The tables and messages are those of Feast 0.67 (`feast/infra/registry/sql.py`). The result equals that of
`asof.features.feature_store.read_contract`, which uses Feast.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from asof.features.definition_records import read_records
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import definition_of
from asof.inference.policies import RegisteredFeatures, view_policy
from asof.serving.features.store.feast_messages import feast_messages
from asof.serving.features.store.reader import missing_in_registry

TYPES = {
    "BOOL": "Bool",
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "INT32": "Int32",
    "INT64": "Int64",
    "STRING": "String",
}
"""Value types in messages -> their names in definitions, for the types that models take."""


def read_registry(conninfo: str, project: str, service: str, *, store: str) -> RegisteredFeatures:
    """The registered features of a service, read in one transaction; blocks. `store` is the type of the online store.

    Raises FeatureContractMismatch where an object is missing, psycopg.Error where the registry cannot be read.
    """
    with psycopg.connect(conninfo) as connection:
        connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        tables = _Tables(connection, project)
        spec = tables.read("feature_service", feast_messages().feature_service, [service])[service].spec
        names = dict.fromkeys(projection.feature_view_name for projection in spec.features)
        views = {
            name: view.spec for name, view in tables.read("feature_view", feast_messages().feature_view, names).items()
        }
        entity_names = dict.fromkeys(entity for view in views.values() for entity in view.entities)
        entities = tables.read("entity", feast_messages().entity, entity_names)
        records = read_records(connection, store, list(names))
    keys = {entity.spec.join_key for entity in entities.values()}
    definitions = {name: definition_of(view) for name, view in views.items()}
    contract = FeatureContract(service, next(iter(keys), ""), tuple(_features(spec.features, views)), definitions)
    policies = {name: view_policy(view.ttl.ToTimedelta(), view.tags) for name, view in views.items()}
    return RegisteredFeatures(contract, policies, records, feast_only=_feast_only(spec, views, keys))


@dataclass(frozen=True)
class _Tables:
    """The registry's tables, which all have the same form."""

    connection: psycopg.Connection[Any]
    project: str

    def read(self, kind: str, message: Any, names: Iterable[str]) -> dict[str, Any]:
        """The objects by name, in the order of `names`. Raises FeatureContractMismatch where one is missing."""
        table = "entities" if kind == "entity" else f"{kind}s"
        query = f"SELECT {kind}_name, {kind}_proto FROM {table} WHERE {kind}_name = ANY(%s) AND project_id = %s"  # noqa: S608
        names = list(names)
        try:
            messages = dict(self.connection.execute(query, [names, self.project], binary=True).fetchall())
        except psycopg.errors.UndefinedTable as error:
            raise missing_in_registry(f"the table {table!r}") from error
        for name in names:
            if name not in messages:
                raise missing_in_registry(f"{kind.replace('_', ' ')} {name!r} of project {self.project!r}")
        return {name: message.FromString(messages[name]) for name in names}


def _features(projections: Sequence[Any], views: Mapping[str, Any]) -> Iterable[Feature]:
    for projection in projections:
        view = projection.feature_view_name
        known = {feature.name for feature in views[view].features}
        for feature in projection.feature_columns:
            if feature.name not in known:
                raise missing_in_registry(f"feature {feature.name!r} of view {view!r}")
            yield Feature(feature.name, view, _type(feature))


def _type(feature: Any) -> str:
    name: str = feast_messages().value_types.Name(feature.value_type)
    return TYPES.get(name, name)


def _feast_only(service: Any, views: Mapping[str, Any], keys: set[str]) -> str:
    """What of this service only Feast itself can look up; empty where our reader can look up all of it."""
    columns = [column for view in views.values() for column in view.entity_columns if column.name in keys]
    names = [feature.name for projection in service.features for feature in projection.feature_columns]
    reasons = {
        "not exactly one join key": len(keys) != 1,
        "a join key that is no string": any(_type(column) != "String" for column in columns),
        "a feature that is selected twice": len(names) != len(set(names)),
        "a mapped join key": any(projection.join_key_map for projection in service.features),
        "a version of a view": any(projection.HasField("version_tag") for projection in service.features),
        "a disabled view": any(view.disabled for view in views.values()),
        "precomputed vectors": service.precompute_online,
    }
    return ", ".join(reason for reason, holds in reasons.items() if holds)
