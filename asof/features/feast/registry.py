"""Reads a feature service and its views from Feast's SQL registry without importing Feast.

The tables and messages are those of Feast 0.67 (`feast/infra/registry/sql.py`). The contract equals that of
`asof.features.feature_store.read_contract`, which uses Feast.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg

from asof.errors import ConfigurationError, FeatureContractMismatch
from asof.features.feast.messages import feast_messages
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import definition_of
from asof.features.feature_support import NO_ENTITY, unsupported
from asof.features.join_keys import JoinKey, keys_of_views
from asof.postgres_url import conninfo_of, parse_url

TYPES = {
    "BOOL": "Bool",
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "INT32": "Int32",
    "INT64": "Int64",
    "STRING": "String",
}
"""Value types in messages -> their names in definitions, for the types that models take."""

UNSUPPORTED = " UNION ALL ".join(
    f"SELECT '{kind}', feature_view_name FROM {table} "  # noqa: S608
    "WHERE feature_view_name = ANY(%(names)s) AND project_id = %(project)s"
    for kind, table in (
        ("OnDemandFeatureView", "on_demand_feature_views"),
        ("StreamFeatureView", "stream_feature_views"),
    )
)
"""The query of the other kinds of views."""


@dataclass(frozen=True)
class RegisteredService:
    """A feature service, its views and entities; `spec`, `views` and `entities` are the specs of Feast's messages.

    `states` are those of the views: what Feast's materialisation has come to.
    """

    spec: Any
    views: Mapping[str, Any]
    entities: Mapping[str, Any]
    states: Mapping[str, str]

    @property
    def contract(self) -> FeatureContract:
        """Its features and definitions."""
        definitions = {name: definition_of(view) for name, view in self.views.items()}
        return FeatureContract(self.spec.name, self._keys or "", tuple(self._features()), definitions)

    @property
    def feast_only(self) -> str:
        """What of this service only Feast itself can look up; empty where our reader can look up all of it."""
        names = [feature.name for projection in self.spec.features for feature in projection.feature_columns]
        reasons = {
            "a view without an entity": any(NO_ENTITY in view.entities for view in self.views.values()),
            "a join key of another type than text, integer or UUID": not self._keys,
            "a feature that is selected twice": len(names) != len(set(names)),
            "a mapped join key": any(projection.join_key_map for projection in self.spec.features),
            "a version of a view": any(projection.HasField("version_tag") for projection in self.spec.features),
            "a disabled view": any(view.disabled for view in self.views.values()),
            "precomputed vectors": self.spec.precompute_online,
        }
        return ", ".join(reason for reason, holds in reasons.items() if holds)

    @property
    def is_plain(self) -> bool:
        """Whether it takes only views of entities on PostgreSQL, and features of the types that models take."""
        typed = all(feature.dtype in TYPES.values() for feature in self.contract.features)
        return typed and not self.feast_only and all(map(_is_plain, self.views.values()))

    @property
    def descriptions(self) -> Mapping[str, str]:
        """The description of each feature, as far as the repository gives one."""
        columns = (each for view in self.views.values() for each in view.features)
        return {each.name: each.description for each in columns if each.description}

    @cached_property
    def _keys(self) -> tuple[JoinKey, ...]:
        """Empty where one is not supported."""
        try:
            return keys_of_views({name: self._keys_of(view) for name, view in self.views.items()})
        except ConfigurationError:
            return ()

    def _keys_of(self, view: Any) -> Mapping[str, str]:
        """The value type of each join key: the view's own, as Feast may have inferred it, or that of the entity."""
        own = {column.name: _value_type(column) for column in view.entity_columns}
        entities = [self.entities[name] for name in view.entities]
        return {each.join_key: own.get(each.join_key, _value_type(each)) for each in entities}

    def _features(self) -> Iterable[Feature]:
        for projection in self.spec.features:
            view = projection.feature_view_name
            known = {feature.name for feature in self.views[view].features}
            for feature in projection.feature_columns:
                if feature.name not in known:
                    raise missing_in_registry(f"feature {feature.name!r} of view {view!r}")
                yield Feature(feature.name, view, dtype_of(feature))


def read_service(connection: psycopg.Connection[Any], project: str, service: str) -> RegisteredService:
    """A service by name. Raises FeatureContractMismatch where an object is missing, psycopg.Error as the tables do."""
    tables, messages = _Tables(connection, project), feast_messages()
    spec = tables.read("feature_service", messages.feature_service, [service])[service].spec
    names = dict.fromkeys(projection.feature_view_name for projection in spec.features)
    for kind, view in tables.unsupported(names):
        raise FeatureContractMismatch(f"Feature service {service!r} takes {unsupported(kind, view)}")
    read = tables.read("feature_view", messages.feature_view, names)
    views = {name: view.spec for name, view in read.items()}
    states = {name: state_of(view) for name, view in read.items()}
    entity_names = dict.fromkeys(entity for view in views.values() for entity in view.entities)
    entities = {name: entity.spec for name, entity in tables.read("entity", messages.entity, entity_names).items()}
    return RegisteredService(spec, views, entities, states)


def read_all(connection: psycopg.Connection[Any], project: str, kind: str) -> dict[str, Any]:
    """Every object of a kind (`entity`, `feature_view`, `feature_service`) by name, as Feast's message."""
    return _Tables(connection, project).read(kind, getattr(feast_messages(), kind), None)


def registry_conninfo(registry: Any) -> str | None:
    """libpq's address of Feast's SQL registry; None where it is not one on PostgreSQL without versions of views."""
    if not isinstance(registry, Mapping) or registry.get("registry_type") != "sql":
        return None
    if registry.get("enable_online_feature_view_versioning"):
        return None
    url = parse_url(str(registry.get("read_path") or registry["path"]))
    return conninfo_of(url) if url and url.drivername.startswith("postgresql") else None


def missing_in_registry(what: object) -> FeatureContractMismatch:
    """The error for an object that the model needs and the registry lacks."""
    return FeatureContractMismatch(f"The registry lacks what the model needs ({what}): run `feast apply`.")


@dataclass(frozen=True)
class _Tables:
    """The registry's tables, which all have the same form."""

    connection: psycopg.Connection[Any]
    project: str

    def read(self, kind: str, message: Any, wanted: Iterable[str] | None) -> dict[str, Any]:
        """The objects by name, ordered as `wanted` (None: all). Raises FeatureContractMismatch for an absent one."""
        table, names = "entities" if kind == "entity" else f"{kind}s", None if wanted is None else list(wanted)
        query = (
            f"SELECT {kind}_name, {kind}_proto FROM {table} "  # noqa: S608
            f"WHERE project_id = %s AND coalesce({kind}_name = ANY(%s::text[]), true) ORDER BY 1"
        )
        try:
            messages = dict(self.connection.execute(query, [self.project, names], binary=True).fetchall())
        except psycopg.errors.UndefinedTable as error:
            raise missing_in_registry(f"the table {table!r}") from error
        names = list(messages) if names is None else names
        for name in names:
            if name not in messages:
                raise missing_in_registry(f"{kind.replace('_', ' ')} {name!r} of project {self.project!r}")
        return {name: message.FromString(messages[name]) for name in names}

    def unsupported(self, names: Iterable[str]) -> Iterable[tuple[str, str]]:
        """Those of the names that are views of a class that no model takes, each with the class."""
        rows = self.connection.execute(UNSUPPORTED.encode(), {"names": list(names), "project": self.project})
        yield from rows.fetchall()


def state_of(view: Any) -> str:
    """What Feast's materialisation of the view has come to."""
    name: str = view.meta.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[view.meta.state].name
    return name


def _is_plain(view: Any) -> bool:
    on_postgres = view.batch_source.data_source_class_type.rpartition(".")[2] == "PostgreSQLSource"
    computed = view.source_views or view.HasField("feature_transformation")
    return on_postgres and not computed and NO_ENTITY not in view.entities


def dtype_of(feature: Any) -> str:
    """The type of a feature's or key's message, as in definitions where models take it."""
    return TYPES.get(_value_type(feature), _value_type(feature))


def _value_type(column: Any) -> str:
    name: str = feast_messages().value_types.Name(column.value_type)
    return name
