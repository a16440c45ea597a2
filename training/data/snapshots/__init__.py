"""Append-only tables with two times (as_of, created_at), and the record of each load."""
