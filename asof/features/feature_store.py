"""The Feast FeatureStore of this project, opened from feature_repo/feature_store.yaml with values from Settings."""

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import psycopg

from asof.errors import ConfigurationError, FeatureContractMismatch
from asof.features.definition_records import APPLY, DefinitionRecords, read_records
from asof.features.feast.imports import import_feast
from asof.features.feast.registry import RegisteredService, read_service, registry_conninfo
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import definition_of
from asof.features.feature_support import require_takeable
from asof.features.join_keys import keys_of_views
from asof.settings import PROJECT, Settings
from online_store.session import options

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.feature_service import FeatureService

REPOSITORY = PROJECT / "feature_repo"


def configuration(settings: Settings) -> dict[str, Any]:
    """feature_repo/feature_store.yaml with its variables substituted. Raises ConfigurationError without a PostgreSQL.

    Values are substituted after parsing, so that nothing in a password is read as YAML.
    """
    import yaml

    values = settings.feast() | {"ASOF_FEAST_SESSION": options()}
    raw: dict[str, Any] = _substituted(yaml.safe_load((REPOSITORY / "feature_store.yaml").read_text()), values)
    return raw


def _substituted(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {name: _substituted(each, values) for name, each in node.items()}
    return Template(node).safe_substitute(values) if isinstance(node, str) else node


def open_feature_store(settings: Settings, *, registry_ttl: int = 60) -> "FeatureStore":
    """Opens the store with one connection to the registry, and none yet to the offline and online store.

    `registry_ttl` is the seconds after which the registry is read again (0: never). Raises ConfigurationError where
    no PostgreSQL is set, Feast refuses the configuration, or the registry lacks a table that our role may not create.
    """
    import_feast()
    from feast import FeatureStore, RepoConfig
    from pydantic import ValidationError

    raw = configuration(settings)
    raw["registry"]["cache_ttl_seconds"] = registry_ttl
    try:
        config = RepoConfig(**raw, repo_path=REPOSITORY)
    except ValidationError as error:  # quotes its input, a password among it
        fields = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        raise ConfigurationError(
            f"Feast refuses feature_repo/feature_store.yaml with ASOF_ONLINE_STORE={settings.online_store}: "
            f"correct {fields}."
        ) from None
    store = FeatureStore(config=config)
    _open_registry(store)
    return store


def _open_registry(store: "FeatureStore") -> None:
    """Feast opens the registry at first use, and creates its absent tables then."""
    from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
    from sqlalchemy.exc import DBAPIError

    try:
        _ = store.registry
    except DBAPIError as error:
        if not isinstance(error.orig, InsufficientPrivilege | ReadOnlySqlTransaction):
            raise
        raise ConfigurationError(
            f"Feast's registry lacks a table or a grant ({error.orig.diag.message_primary}): "
            "run `python -m flows databases`."
        ) from None


@contextlib.contextmanager
def feature_store(settings: Settings) -> Iterator["FeatureStore"]:
    """The store for a `with` block; Feast itself leaves connections open until garbage collection."""
    store = open_feature_store(settings)
    try:
        yield store
    finally:
        close(store)


def close(store: "FeatureStore") -> None:
    """Closes the connections to the registry and to the online store, for which Feast has no public method.

    Feast's PostgreSQL store keeps one connection; ours (`online_store/`) keeps a pool with a method `disconnect`.
    """
    for engine in {store.registry.read_engine, store.registry.write_engine}:
        engine.dispose()
    online = store.provider.online_store
    disconnect = getattr(online, "disconnect", None) or getattr(getattr(online, "_conn", None), "close", None)
    if disconnect is not None:
        disconnect()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses Feast's prints and progress bars, and a warning that it causes (it passes psycopg to pandas)."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "pandas only supports SQLAlchemy", UserWarning)
        yield


def registered_service(settings: Settings, service: str) -> RegisteredService | None:
    """That feature service, read without importing Feast; None where only Feast can read it, or say what is missing."""
    store = configuration(settings)
    if (conninfo := registry_conninfo(store["registry"])) is None:
        return None
    try:
        with psycopg.connect(conninfo) as connection:
            connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            found = read_service(connection, store["project"], service)
            plain = found.is_plain
    except (FeatureContractMismatch, psycopg.Error):
        return None
    return found if plain else None


def registered_contract(settings: Settings, service: str) -> FeatureContract | None:
    """The contract of that FeatureService as it is registered now; None where it, or a view of it, is not."""
    if found := registered_service(settings, service):
        return found.contract
    from feast.errors import FeastObjectNotFoundException

    with feature_store(settings) as store:
        try:
            return read_contract(store, store.get_feature_service(service))
        except FeastObjectNotFoundException:
            return None


def mismatch(settings: Settings, contract: FeatureContract) -> str:
    """Why a model with `contract` must not answer, with the next step; empty where it may.

    It is compared with the registered definitions and with those that filled the online store.
    """
    registered = registered_contract(settings, contract.feature_service)
    if registered is None:
        return f"the feature store knows no feature service {contract.feature_service!r}. {APPLY}"
    return definition_records(settings, contract).mismatch(contract, registered)


def definition_records(settings: Settings, contract: FeatureContract) -> DefinitionRecords:
    """The records of the contract's views in the configured online store."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        return read_records(connection, configuration(settings)["online_store"]["type"], contract.views)


def read_contract(store: "FeatureStore", service: "FeatureService") -> FeatureContract:
    """The contract of a registered FeatureService. Raises ConfigurationError where it takes an unsupported view."""
    from feast.errors import FeatureViewNotFoundException

    names = [each.name for each in service.feature_view_projections]
    every = {each.name: each for each in store.registry.list_all_feature_views(store.project)}
    if absent := [name for name in names if name not in every]:
        raise FeatureViewNotFoundException(absent[0], store.project)
    views = {name: every[name] for name in names}
    require_takeable(service, views)
    features = tuple(
        Feature(field.name, projection.name, str(field.dtype))
        for projection in service.feature_view_projections
        for field in projection.features
    )
    keys = keys_of_views({name: _keys_of(store, view) for name, view in views.items()})
    definitions = {name: definition_of(view.to_proto().spec) for name, view in views.items()}
    return FeatureContract(service.name, keys, features, definitions)


def _keys_of(store: "FeatureStore", view: "FeatureView") -> dict[str, str]:
    """As in `asof.features.feast.registry`."""
    own = {column.name: column.dtype.to_value_type().name for column in view.entity_columns}
    entities = [store.get_entity(name) for name in view.entities]
    return {each.join_key: own.get(each.join_key, each.value_type.name) for each in entities}


def registered_features(store: "FeatureStore", keys: Collection[str]) -> tuple[Feature, ...]:
    """The features of all registered feature views with no other join keys, sorted by view."""
    every = sorted(store.list_feature_views(), key=lambda view: view.name)
    views = [view for view in every if {column.name for column in view.entity_columns} <= {*keys}]
    return tuple(Feature(field.name, view.name, str(field.dtype)) for view in views for field in view.features)
