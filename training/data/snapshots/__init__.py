"""Append-only snapshot tables with two times, and who loaded what."""
