"""Lineage: where a served model comes from, as each of its answers tells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lineage:
    """Where a served model comes from: its name and version in the registry, its run, and the Bento that serves it.

    `version` is None where the model is not registered; `run_id` is empty where there is no model yet.
    """

    name: str
    version: str | None
    run_id: str
    bento: str
