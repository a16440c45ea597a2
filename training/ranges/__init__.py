"""Ranges of keys: the units in which all entities are worked on, on one machine or on several."""
