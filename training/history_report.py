"""A model's history -> HistoryReport: its entries, whether anybody has rewritten them, and whether MLflow agrees."""

from dataclasses import dataclass

from asof.settings import Settings
from asof.use_case import UseCase
from training.chain import breaks, losses
from training.history import Entry, read_history, reading
from training.production import difference, read_shown, steps_left
from training.tracking import open_tracking


@dataclass(frozen=True)
class HistoryReport:
    """`findings` has a sentence for each place where the chain is broken, and `mlflow` one where MLflow shows something
    else than the newest entry says; entries are oldest first."""

    model: str
    findings: tuple[str, ...]
    mlflow: str
    entries: tuple[Entry, ...]

    @property
    def intact(self) -> bool:
        """Whether every entry is there as it was written."""
        return not self.findings


def report_history(settings: Settings, use_case: UseCase) -> HistoryReport:
    """Reads the history and walks its chain; changes nothing."""
    client, name = open_tracking(settings), use_case.model_name
    shown = read_shown(client, name)  # first: an entry is written before MLflow names it
    with reading(settings) as connection:
        entries = read_history(connection, name)
    findings = (*breaks(entries), *losses(entries, shown.witnesses))
    left = steps_left(client, shown, entries)
    return HistoryReport(name, findings, difference(shown, entries[-1]) if left else "", tuple(entries))
