"""feature_repo/ -> Feast's registry: definitions are checked, applied, and compared with what is registered."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from asof.errors import ConfigurationError
from asof.extract_schema import Kind
from asof.features.feature_store import REPOSITORY, feature_store, quiet
from asof.features.feature_support import require_readable, require_takeable
from asof.features.join_keys import JoinKey, JoinKeys, keys_of_views, require_keys
from asof.inference.wide_reader import WIDE
from asof.settings import Settings
from asof.use_case import UseCase
from training.features.materialisation.applied import is_applied, record_applied

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView
    from feast.repo_contents import RepoContents


def apply_features(settings: Settings) -> None:
    """Registers the definitions of feature_repo/ and removes all others, as `feast apply` does.

    Raises ConfigurationError as `check_features` does.
    """
    from feast.repo_operations import extract_objects_for_apply_delete

    with feature_store(settings) as store, defined_features() as defined:
        apply, delete, _, _ = extract_objects_for_apply_delete(store.project, store.registry, defined)
        store.apply(apply, objects_to_delete=delete, partial=False)
        record_applied(settings, defined)


def check_features(settings: Settings, use_case: UseCase) -> None:
    """Raises ConfigurationError if feature_repo/ defines a view or a service that AsOf does not support, if it keys a
    service of the use case otherwise than the extract, and if the online store cannot hold the keys.
    """
    extract = use_case.extract
    if settings.online_store != WIDE and Kind.UUID in {key.kind for key in extract.key_columns}:
        raise ConfigurationError(
            f"{use_case.name} is keyed by a UUID, which only the online store {WIDE} can hold: set ASOF_ONLINE_STORE."
        )
    with defined_features() as defined:
        for service in sorted({estimator.feature_service for estimator in use_case.estimators.values()}):
            if keys := _join_keys(defined, service):
                require_keys(extract, service, JoinKeys(keys))


def _join_keys(defined: "RepoContents", name: str) -> tuple[JoinKey, ...]:
    """Those of a feature service; empty if it is not defined, or Feast is to infer the type of one."""
    views = {view.name: view for view in defined.feature_views}
    entities = {entity.name: entity for entity in defined.entities}
    services = [service for service in defined.feature_services if service.name == name]
    taken = [projection.name for service in services for projection in service.feature_view_projections]
    keyed = {view: [entities[each] for each in views[view].entities] for view in taken}
    types = {view: {each.join_key: each.value_type.name for each in every} for view, every in keyed.items()}
    unknown = any("UNKNOWN" in each.values() for each in types.values())
    return () if unknown else keys_of_views(types)


@contextlib.contextmanager
def defined_features() -> "Iterator[RepoContents]":
    """The checked definitions of feature_repo/. During the block the working directory is that folder."""
    from feast.repo_operations import parse_repo

    with contextlib.chdir(REPOSITORY), _importable(str(REPOSITORY)), quiet():
        defined = parse_repo(REPOSITORY)
        require_readable(defined.feature_views)
        views = [*defined.feature_views, *defined.on_demand_feature_views, *defined.stream_feature_views]
        for service in defined.feature_services:
            require_takeable(service, {view.name: view for view in views})
        yield defined


def unapplied_features(settings: Settings) -> list[str]:
    """The names of the views and services that `apply_features` would change; nothing is changed here.

    `feast plan` is no replacement: its difference is never empty, since it compares what only applying fills in.
    """
    if is_applied(settings):
        return []
    with feature_store(settings) as store, defined_features() as defined:
        wanted = _definitions([*defined.feature_views, *defined.feature_services])
        known = _definitions([*store.list_feature_views(), *store.list_feature_services()])
    return sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))


def feature_types(view: "FeatureView") -> list[list[str]]:
    """Name and Feast type of each feature."""
    return [[field.name, str(field.dtype)] for field in view.features]


def _definitions(objects: "Iterable[FeatureView | FeatureService]") -> dict[str, Any]:
    """What AsOf uses of each view and service."""
    return {
        each.name: (feature_types(each), each.entities, _source(each.batch_source), each.ttl, dict(each.tags))
        if hasattr(each, "batch_source")
        else [(part.name, [str(field) for field in part.features]) for part in each.feature_view_projections]
        for each in objects
    }


def _source(source: Any) -> list[Any]:
    times = [source.timestamp_field, source.created_timestamp_column]
    return [source.get_table_query_string(), *times, sorted(source.field_mapping.items())]


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
