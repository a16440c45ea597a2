"""Feast's feature views -> ConfigurationError for those that no model can take, naming the view and the next step."""

from collections.abc import Iterable, Mapping
from typing import Any

from asof.errors import ConfigurationError

PLAIN = "FeatureView"
INSTEAD = {
    "OnDemandFeatureView": "compute it in the SQL of a source, or as a derived column of the use case",
    "StreamFeatureView": "materialise a FeatureView from a table that the stream fills",
}
ELSE = "use a FeatureView on a table or a query of PostgreSQL"
NO_ENTITY = "__dummy"
"""Feast's entity of a view without one."""


def require_takeable(service: Any, views: Mapping[str, Any]) -> None:
    """Raises ConfigurationError where a feature service takes a view that is not read by one entity's key.

    `views` are Feast's objects by name; one that is not among them is left to the caller.
    """
    for view in (views[name] for name in _names(service) if name in views):
        _require_kind(view, f"Feature service {service.name!r} takes ")
        entities = _entities(view)
        if len(entities) != 1:
            told = f"by {', '.join(entities) or 'no entity'}"
            raise ConfigurationError(
                f"Feature service {service.name!r} takes feature view {view.name!r}, which is keyed {told}: a model's "
                "views are keyed by one entity. Leave it out of the service, or key it by the service's entity."
            )


def require_readable(views: Iterable[Any]) -> None:
    """Raises ConfigurationError for a view that no ingest can fill from PostgreSQL."""
    for view in views:
        _require_kind(view, "feature_repo/ defines ")
        if not _entities(view) or type(view.batch_source).__name__ != "PostgreSQLSource":
            what = f"a {type(view.batch_source).__name__}" if _entities(view) else "no entity"
            raise ConfigurationError(
                f"feature_repo/ defines feature view {view.name!r} with {what}, which cannot be materialised here: "
                "give it an entity and a PostgreSQLSource, or leave it out."
            )


def _require_kind(view: Any, told: str) -> None:
    kind = type(view).__name__
    if kind != PLAIN or view.source_views:
        what = "a view of other views" if kind == PLAIN else f"{kind}"
        raise ConfigurationError(
            f"{told}{what} {view.name!r}, which cannot be read point in time here: {INSTEAD.get(kind, ELSE)}."
        )


def _entities(view: Any) -> list[str]:
    return [name for name in view.entities if name != NO_ENTITY]


def _names(service: Any) -> list[str]:
    return [projection.name for projection in service.feature_view_projections]
