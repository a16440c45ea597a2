"""What a Feast feature view needs of the store: names and types."""

from collections.abc import Iterable
from typing import Any

from feast import Entity
from feast.value_type import ValueType

from online_store.encoding.column_types import KEY_TYPES
from online_store.errors import WideStoreError
from online_store.schema.tables import ViewSchema

ENTITYLESS = "__dummy_id"
"""Feast's join key of views without entities; on-demand views without entities leave out even this one."""


def view_schema(project: str, view: Any, entities: Iterable[Entity]) -> ViewSchema:
    """Raises WideStoreError where the types of the join keys are unknown."""
    keys = {each.name: each.dtype.to_value_type().name for each in view.entity_columns}
    features = {each.name: each.dtype.to_value_type().name for each in view.features}
    typed = {name: KEY_TYPES.get(kind, kind) for name, kind in (keys or _join_keys(view, entities)).items()}
    return ViewSchema(project, view.name, typed, features)


def _join_keys(view: Any, entities: Iterable[Entity]) -> dict[str, str]:
    """For a view that Feast has not inferred yet (`apply` does), or that has no entity."""
    known = {each.name: each for each in entities}
    missing = [name for name in view.entities if name not in known and name != "__dummy"]
    if missing:
        raise WideStoreError(f"View {view.name} is keyed by unknown entities {missing}: apply them together with it.")
    keys = {known[name].join_key: known[name].value_type for name in view.entities if name in known}
    return {name: kind.name for name, kind in keys.items() if kind != ValueType.UNKNOWN} or {ENTITYLESS: "STRING"}
