"""The entity that every StreamFlow view is keyed by."""

from feast import Entity, ValueType

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="A StreamFlow customer")
