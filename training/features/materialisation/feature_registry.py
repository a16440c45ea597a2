"""feature_repo/ -> Feast's registry: definitions are applied, and compared with what is registered."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asof.features.feature_store import REPOSITORY, feature_store
from asof.settings import Settings
from training.features.materialisation.definition_files import read_definitions

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView


def apply_features(settings: Settings) -> None:
    """Registers the definitions of feature_repo/ and removes all others, as `feast apply` does.

    Nothing is removed while a file does not import: what is registered of it stays. Raises ConfigurationError as
    `check_features` does.
    """
    from feast.repo_operations import extract_objects_for_apply_delete

    with feature_store(settings) as store, read_definitions(REPOSITORY) as defined:
        apply, delete, _, _ = extract_objects_for_apply_delete(store.project, store.registry, defined.contents)
        store.apply(apply, objects_to_delete=[] if defined.broken else delete, partial=bool(defined.broken))


def check_features(services: Sequence[str] = ()) -> list[str]:
    """A sentence for each file of feature_repo/ that does not import.

    Raises ConfigurationError if such a file is needed for one of these services, if feature_repo/ defines a view or a
    service that AsOf does not support, or if one name stands for two definitions.
    """
    with read_definitions(REPOSITORY) as defined:
        defined.require(services)
        return [*defined.broken.values()]


def unapplied_features(settings: Settings) -> list[str]:
    """The names of the views and services that `apply_features` would change; nothing is changed here.

    `feast plan` is no replacement: its difference is never empty, since it compares what only applying fills in.
    """
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
