"""Refuses the feature views that AsOf does not support, with a ConfigurationError that names view and next step."""

from collections.abc import Iterable, Mapping
from typing import Any

from asof.errors import ConfigurationError

SUPPORTED = "FeatureView"
ALTERNATIVES = {
    "OnDemandFeatureView": (
        "compute it in the SQL of a source, or as a derived column of the use case, which may take given features"
    ),
    "StreamFeatureView": "materialise a FeatureView from a table that the stream fills",
}
ALTERNATIVE = "use a FeatureView on a table or a query of PostgreSQL"
NO_ENTITY = "__dummy"
"""Feast's entity of a view without one."""


def require_takeable(service: Any, views: Mapping[str, Any]) -> None:
    """Raises ConfigurationError where a feature service takes a view without an entity, or one that is not supported.

    `views` are Feast's objects by name; the caller checks whether one is absent.
    """
    names = (projection.name for projection in service.feature_view_projections)
    for view in (views[name] for name in names if name in views):
        _require_feature_view(view, f"Feature service {service.name!r} takes ")
        if not _entities(view):
            raise ConfigurationError(
                f"Feature service {service.name!r} takes feature view {view.name!r}, which is keyed by no entity: a "
                "model's views are keyed by those of the request. Leave it out of the service, or give it an entity."
            )


def require_readable(views: Iterable[Any]) -> None:
    """Raises ConfigurationError for a view that `flows ingest` cannot fill from PostgreSQL."""
    for view in views:
        _require_feature_view(view, "feature_repo/ defines ")
        if not _entities(view) or type(view.batch_source).__name__ != "PostgreSQLSource":
            what = f"a {type(view.batch_source).__name__}" if _entities(view) else "no entity"
            raise ConfigurationError(
                f"feature_repo/ defines feature view {view.name!r} with {what}, which cannot be materialised here: "
                "give it an entity and a PostgreSQLSource, or leave it out."
            )


def _require_feature_view(view: Any, subject: str) -> None:
    kind = type(view).__name__
    if kind != SUPPORTED or view.source_views:
        raise ConfigurationError(f"{subject}{unsupported(kind, view.name)}")


def unsupported(kind: str, name: str) -> str:
    """The end of a sentence about a view of that class of Feast."""
    what = "a view of other views" if kind == SUPPORTED else kind
    return f"{what} {name!r}, which cannot be read point in time here: {ALTERNATIVES.get(kind, ALTERNATIVE)}."


def _entities(view: Any) -> list[str]:
    return [name for name in view.entities if name != NO_ENTITY]
