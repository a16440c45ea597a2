"""The Feast FeatureStore of this project, opened from feature_repo/feature_store.yaml with values from Settings."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import psycopg

from asof.errors import ConfigurationError
from asof.features.definition_records import APPLY, DefinitionRecords, read_records
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import definition_of
from asof.features.feature_support import require_takeable
from asof.settings import PROJECT, Settings
from online_store.session import options

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.feature_service import FeatureService
    from pydantic import ValidationError

REPOSITORY = PROJECT / "feature_repo"


def configuration(settings: Settings) -> dict[str, Any]:
    """feature_repo/feature_store.yaml with its variables filled in. Raises ConfigurationError as below.

    Values go into what was read, not into the text of the file: nothing in a password can be taken for YAML.
    """
    import yaml

    values = settings.feast() | {"ASOF_FEAST_SESSION": options()}
    raw: dict[str, Any] = _filled(yaml.safe_load((REPOSITORY / "feature_store.yaml").read_text()), values)
    return raw


def open_feature_store(settings: Settings, *, registry_ttl: int = 60) -> "FeatureStore":
    """Opens the store: one connection to the registry, none yet to the stores.

    `registry_ttl` is the seconds after which the registry is read again (0: never). Raises ConfigurationError where
    no PostgreSQL is set, Feast refuses the configuration, or the registry's tables are absent and our role may not make
    them.
    """
    from feast import FeatureStore, RepoConfig
    from pydantic import ValidationError

    raw = configuration(settings)
    raw["registry"]["cache_ttl_seconds"] = registry_ttl
    try:
        config = RepoConfig(**raw, repo_path=REPOSITORY)
    except ValidationError as error:  # which quotes what it was given, the password among it
        raise _misfitting(settings, error) from None
    store = FeatureStore(config=config)
    with _may_make_the_registry():
        _ = store.registry  # opened when it is first asked for
    return store


def _misfitting(settings: Settings, error: "ValidationError") -> ConfigurationError:
    fields = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
    return ConfigurationError(
        f"Feast refuses feature_repo/feature_store.yaml with ASOF_ONLINE_STORE={settings.online_store}: "
        f"correct {fields}."
    )


@contextlib.contextmanager
def _may_make_the_registry() -> Iterator[None]:
    """Feast makes the registry's tables that are absent. Raises ConfigurationError where our role may not."""
    from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as refusal:
        if not isinstance(refusal.orig, InsufficientPrivilege | ReadOnlySqlTransaction):
            raise
        raise ConfigurationError(
            f"Feast's registry lacks a table or a grant ({refusal.orig.diag.message_primary}): "
            "run `python -m flows databases`."
        ) from None


@contextlib.contextmanager
def feature_store(settings: Settings) -> Iterator["FeatureStore"]:
    """The store for the time of a block; Feast itself leaves its connections open until they are collected."""
    store = open_feature_store(settings)
    try:
        yield store
    finally:
        close(store)


def close(store: "FeatureStore") -> None:
    """Closes the connections to the registry and to the online store; for the latter Feast has no public way.

    Its own PostgreSQL store keeps one connection; ours (`online_store/`) keeps a pool, and closes it itself.
    """
    for engine in {store.registry.read_engine, store.registry.write_engine}:
        engine.dispose()
    online = store.provider.online_store
    disconnect = getattr(online, "disconnect", None) or getattr(getattr(online, "_conn", None), "close", None)
    if disconnect is not None:
        disconnect()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Feast's prints and bars out of our output, and one warning of its own making (it hands pandas psycopg)."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "pandas only supports SQLAlchemy", UserWarning)
        yield


def _filled(told: Any, values: Mapping[str, str]) -> Any:
    """The same with its variables replaced, in mappings of mappings."""
    if isinstance(told, Mapping):
        return {name: _filled(each, values) for name, each in told.items()}
    return Template(told).safe_substitute(values) if isinstance(told, str) else told


def registered_contract(settings: Settings, service: str) -> FeatureContract | None:
    """The contract of that FeatureService as it is registered now, or None where it is not, or not whole."""
    from feast.errors import FeastObjectNotFoundException

    with feature_store(settings) as store:
        try:
            return read_contract(store, store.get_feature_service(service))
        except FeastObjectNotFoundException:
            return None


def misfit(settings: Settings, contract: FeatureContract) -> str:
    """What keeps a model with `contract` from an answer, in words with the next step; empty where nothing does.

    It is compared with what is registered now and with what filled the online store.
    """
    registered = registered_contract(settings, contract.feature_service)
    if registered is None:
        return f"the feature store knows no feature service {contract.feature_service!r}. {APPLY}"
    return definition_records(settings, contract).misfit(contract, registered)


def definition_records(settings: Settings, contract: FeatureContract) -> DefinitionRecords:
    """What filled the views of a contract in the online store that is configured, and what was accepted."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        return read_records(connection, configuration(settings)["online_store"]["type"], contract.views)


def read_contract(store: "FeatureStore", service: "FeatureService") -> FeatureContract:
    """The contract of a registered FeatureService: every feature of its projections with view and type.

    Raises ConfigurationError where it takes a view that no model can take.
    """
    views = {each.name: _view(store, each.name) for each in service.feature_view_projections}
    require_takeable(service, views)
    features = tuple(
        Feature(field.name, projection.name, str(field.dtype))
        for projection in service.feature_view_projections
        for field in projection.features
    )
    keys = {store.get_entity(name).join_key for view in views.values() for name in view.entities}
    if len(keys) != 1:
        raise ConfigurationError(
            f"Feature service {service.name!r} takes views keyed by {', '.join(sorted(keys)) or 'nothing'}: a model's "
            "views are keyed by one entity. Make a service for each."
        )
    definitions = {name: definition_of(view.to_proto().spec) for name, view in views.items()}
    return FeatureContract(service.name, keys.pop(), features, definitions)


def _view(store: "FeatureStore", name: str) -> "FeatureView":
    """The view of that name, also one that is no plain FeatureView. Raises FeastObjectNotFoundException."""
    from feast.errors import FeatureViewNotFoundException

    try:
        return store.get_feature_view(name)
    except FeatureViewNotFoundException:
        others = store.registry.list_all_feature_views(store.project)
        found = next((view for view in others if view.name == name), None)
        if found is None:
            raise
        return found


def registry_tables() -> tuple[str, ...]:
    """The names of the tables of Feast's SQL registry."""
    from feast.infra.registry.sql import metadata

    return tuple(metadata.tables)


def registered_features(store: "FeatureStore") -> tuple[Feature, ...]:
    """Every feature of every registered feature view, by view and then in the view's order."""
    views = sorted(store.list_feature_views(), key=lambda view: view.name)
    return tuple(Feature(field.name, view.name, str(field.dtype)) for view in views for field in view.features)
