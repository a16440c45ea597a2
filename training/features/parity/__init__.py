"""Comparison of the online store with the snapshots, value by value."""
