"""feature_repo/ -> Feast's registry: definitions are applied, and compared with what is registered."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asof.errors import ConfigurationError
from asof.extracts.schema import Kind
from asof.features.feast.imports import import_feast
from asof.features.feature_store import REPOSITORY, feature_store
from asof.features.join_keys import JoinKey, JoinKeys, keys_of_views, require_keys
from asof.inference.wide_reader import WIDE
from asof.settings import Settings
from asof.use_case import UseCase
from training.features.materialisation.applied import is_applied, record_applied
from training.features.materialisation.definition_files import read_definitions

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView
    from feast.repo_contents import RepoContents


def apply_features(settings: Settings) -> None:
    """Registers the definitions of feature_repo/ and removes all others, as `feast apply` does.

    Nothing is removed while a file does not import: what is registered of it stays. Raises ConfigurationError as
    `check_features` does.
    """
    import_feast()
    from feast.repo_operations import extract_objects_for_apply_delete

    with feature_store(settings) as store, read_definitions(REPOSITORY) as defined:
        apply, delete, _, _ = extract_objects_for_apply_delete(store.project, store.registry, defined.contents)
        store.apply(apply, objects_to_delete=[] if defined.broken else delete, partial=bool(defined.broken))
        if not defined.broken:
            record_applied(settings, defined.contents)


def broken_files(services: Sequence[str] = ()) -> list[str]:
    """A sentence for each file of feature_repo/ that does not import.

    Raises ConfigurationError if such a file is needed for one of these services, if feature_repo/ defines a view or a
    service that AsOf does not support, or if one name stands for two definitions.
    """
    with read_definitions(REPOSITORY) as defined:
        defined.require(services)
        return [*defined.broken.values()]


def check_features(settings: Settings, use_case: UseCase) -> list[str]:
    """As `broken_files`, of the services of the use case.

    Raises ConfigurationError, too, if feature_repo/ keys one otherwise than the extract, and if the online store cannot
    hold the keys.
    """
    extract = use_case.extract
    if settings.online_store != WIDE and Kind.UUID in {key.kind for key in extract.key_columns}:
        raise ConfigurationError(
            f"{use_case.name} is keyed by a UUID, which only the online store {WIDE} can hold: set ASOF_ONLINE_STORE."
        )
    services = sorted({estimator.feature_service for estimator in use_case.estimators.values()})
    with read_definitions(REPOSITORY) as defined:
        defined.require(services)
        for service in services:
            if keys := _join_keys(defined.contents, service):
                require_keys(extract, service, JoinKeys(keys))
        return [*defined.broken.values()]


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


def unapplied_features(settings: Settings) -> list[str]:
    """The names of the views and services that `apply_features` would change; nothing is changed here.

    `feast plan` is no replacement: its difference is never empty, since it compares what only applying fills in.
    """
    if is_applied(settings):
        return []
    with feature_store(settings) as store, read_definitions(REPOSITORY) as defined:
        wanted = _definitions([*defined.contents.feature_views, *defined.contents.feature_services])
        known = _definitions([*store.list_feature_views(), *store.list_feature_services()])
    names = wanted.keys() if defined.broken else wanted.keys() | known.keys()
    return sorted(name for name in names if wanted.get(name) != known.get(name))


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
