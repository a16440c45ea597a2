"""Lineage of a version or an answer: code, training set, loads and files. Read-only."""
