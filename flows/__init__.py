"""Prefect's room: pages of calls, no logic. `python -m flows --help` is the terminal door."""
