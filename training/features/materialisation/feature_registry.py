"""feature_repo/ -> Feast's registry: what is defined, checked, applied, and what is not applied yet."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from asof.features.feature_store import REPOSITORY, feature_store, quiet
from asof.features.feature_support import require_readable, require_takeable
from asof.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView
    from feast.repo_contents import RepoContents


def apply_features(settings: Settings) -> None:
    """Registers what feature_repo/ defines, as `feast apply` does; objects that are no longer defined are removed.

    Raises ConfigurationError as `check_features` does.
    """
    from feast.repo_operations import extract_objects_for_apply_delete

    with feature_store(settings) as store, defined_features() as found:
        apply, delete, _, _ = extract_objects_for_apply_delete(store.project, store.registry, found)
        store.apply(apply, objects_to_delete=delete, partial=False)


def check_features() -> None:
    """Raises ConfigurationError where feature_repo/ defines a view or a service that cannot be used here."""
    with defined_features():
        pass


@contextlib.contextmanager
def defined_features() -> "Iterator[RepoContents]":
    """What feature_repo/ defines, checked; in its folder and silently for the time of a block."""
    from feast.repo_operations import parse_repo

    with contextlib.chdir(REPOSITORY), _importable(str(REPOSITORY)), quiet():
        found = parse_repo(REPOSITORY)
        require_readable(found.feature_views)
        views = [*found.feature_views, *found.on_demand_feature_views, *found.stream_feature_views]
        for service in found.feature_services:
            require_takeable(service, {view.name: view for view in views})
        yield found


def unapplied_features(settings: Settings) -> list[str]:
    """The views and services that `apply_features` would change in the registry, by name; nothing is changed here.

    Feast's own difference (`feast plan`) is never empty: it compares what only applying fills in.
    """
    with feature_store(settings) as store, defined_features() as found:
        wanted = _told([*found.feature_views, *found.feature_services])
        known = _told([*store.list_feature_views(), *store.list_feature_services()])
    return sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))


def _features(view: "FeatureView") -> list[list[str]]:
    return [[field.name, str(field.dtype)] for field in view.features]


def _told(objects: "Iterable[FeatureView | FeatureService]") -> dict[str, Any]:
    """What our code reads of each view and service."""
    return {
        each.name: (_features(each), each.entities, _source(each.batch_source), each.ttl, dict(each.tags))
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
