"""Checks of a month against the one before it: entities, unchanged values, counts of time, drift."""
