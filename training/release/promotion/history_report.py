"""A model's history -> HistoryReport: its entries, whether anybody has rewritten them, and whether MLflow agrees."""

from dataclasses import dataclass

from asof.settings import Settings
from asof.use_case import UseCase
from training.release.promotion.hash_chain import breaks, losses
from training.release.promotion.history import Entry, read_history, reading
from training.release.promotion.registry_state import difference, read_shown, steps_left
from training.tracking.client import open_tracking


@dataclass(frozen=True)
class HistoryReport:
    """`intact` says that every entry is there as it was written; else `findings` has a sentence for each place.

    `mlflow` says what MLflow shows otherwise than the newest entry, if it does. Entries are oldest first.
    """

    model: str
    intact: bool
    findings: tuple[str, ...]
    mlflow: str
    entries: tuple[Entry, ...]


def report_history(settings: Settings, use_case: UseCase) -> HistoryReport:
    """Reads the history and walks its chain; changes nothing."""
    client, name = open_tracking(settings), use_case.model_name
    shown = read_shown(client, name)  # first: an entry is written before MLflow names it
    with reading(settings) as connection:
        entries = read_history(connection, name)
    findings = (*breaks(entries), *losses(entries, shown.witnesses))
    otherwise = difference(shown, entries[-1]) if steps_left(client, shown, entries) else ""
    if shown.alias and not entries:
        otherwise = f"version {shown.alias} is in Production; the next promotion or rollback begins the history with it"
    return HistoryReport(name, not findings, findings, mlflow=otherwise, entries=tuple(entries))
