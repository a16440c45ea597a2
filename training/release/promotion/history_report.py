"""A model's history -> HistoryReport: its entries, whether its hash chain is intact, and whether MLflow agrees."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asof.settings import Settings
from asof.use_case import UseCase
from training.release.promotion.hash_chain import chain_errors, missing_entries
from training.release.promotion.history import Entry, read_history, reading
from training.release.promotion.registry_state import describe_difference, pending_steps, read_registry_state
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class HistoryReport:
    """Entries, the oldest first; `findings` has a sentence for each that was changed or deleted (`intact`: none was).

    `mlflow` says how MLflow differs from the newest entry, empty where it does not.
    """

    model: str
    intact: bool
    findings: tuple[str, ...]
    mlflow: str
    entries: tuple[Entry, ...]


def report_history(settings: Settings, use_case: UseCase, client: "MlflowClient | None" = None) -> HistoryReport:
    """Reads the history and verifies its chain; changes nothing."""
    client, name = client or open_registry(settings), use_case.model_name
    state = read_registry_state(client, name)  # first: an entry is written before MLflow names it
    with reading(settings) as connection:
        entries = read_history(connection, name)
    findings = (*chain_errors(entries), *missing_entries(entries, state.references))
    mlflow = describe_difference(state, entries[-1]) if pending_steps(client, state, entries) else ""
    if state.alias and not entries:
        mlflow = f"version {state.alias} is in Production; the next promotion or rollback begins the history with it"
    return HistoryReport(name, not findings, findings, mlflow=mlflow, entries=tuple(entries))
