"""Extracts or snapshots -> findings: what the data checks have to say, and a page with pictures."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from prefect import flow, task

from asof.settings import Moment, Settings
from asof.use_case import FromRequest, UseCase
from asof.use_cases import load
from flows.runtime.door import default_use_case, open_settings
from flows.runtime.extract_files import refuse_foreign_files
from flows.runtime.progress import log, publish
from flows.runtime.retries import RETRIES
from training.data.extracts.deliveries import find_deliveries
from training.features.datasets.dataset import newest_labelled
from training.inspection import Examination, examine, months_in, months_known, page, refuse_unacknowledged
from training.inspection.month import Month


@task(name="inspect-month", **RETRIES)
def inspect_month(use_case: str, as_of: datetime, known_at: datetime | None) -> list[dict[str, Any]]:
    """Checks the month, publishes a row for each finding, and refuses errors that nobody has acknowledged.

    Where the features come in the request there is no month: the rows are the use case's own.
    """
    settings, problem = open_settings(), load(use_case)
    if isinstance(problem.source, FromRequest):
        return []
    log.info("checking the data as of %s", as_of.date())
    examination = _examined(problem, months_known(settings, problem.extract, as_of, known_at=known_at))
    rows = _rows(examination)
    publish("inspection", rows, f"Data checks of {use_case} as of {as_of.date()}")
    refuse_unacknowledged(examination, problem)
    return rows


@task(name="inspect-snapshots", **RETRIES)
def inspect_snapshots(use_case: str, as_of: datetime, known_at: datetime | None, page_at: str | None) -> dict[str, Any]:
    """Checks the month and writes the page; refuses nothing."""
    settings, problem = open_settings(), load(use_case)
    months = months_known(settings, problem.extract, as_of, known_at=known_at)
    return _told(settings, problem, _examined(problem, months), page_at)


@flow(name="inspect", description="The data checks on one month of the snapshots, beside the month before.")
def inspect(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    page_at: str | None = None,
) -> dict[str, Any]:
    """Findings as of a moment (default: the newest that has labels), and where the page is."""
    use_case = use_case or default_use_case()
    moment = as_of or newest_labelled(open_settings(), load(use_case))
    found = inspect_snapshots(use_case, moment, known_at, page_at)
    publish("inspection", found["findings"], f"Data checks of {use_case} as of {moment.date()}: {found['page']}")
    return found


def inspect_folder(use_case: str, folder: Path, first: date | None, page_at: str | None) -> dict[str, Any]:
    """The same for every month in a folder of extracts, before they are loaded: no server is needed."""
    problem = load(use_case)
    refuse_foreign_files(problem, folder, find_deliveries(folder, first=first, labels=problem.extract.labels.name))
    return _told(Settings(), problem, _examined(problem, months_in(folder, problem.extract, first=first)), page_at)


def _examined(problem: UseCase, months: Iterable[Month]) -> Examination:
    return examine(_watched(months), acknowledged=problem.acknowledged)


def _watched(months: Iterable[Month]) -> Iterator[Month]:
    for month in months:
        log.info("%s, %d entities", month.as_of.date(), len(month.frame))
        yield month


def _told(settings: Settings, problem: UseCase, examination: Examination, page_at: str | None) -> dict[str, Any]:
    log.info("drawing the page")
    newest = examination.months[-1].as_of.date()
    path = Path(page_at) if page_at else settings.home / "inspections" / f"{problem.name}-{newest}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(examination, problem.title), encoding="utf-8")
    stopping: Sequence[str] = [each.finding.name for each in examination.stopping]
    return examination.to_dict() | {"page": str(path), "stops": stopping}


def _rows(examination: Examination) -> list[dict[str, Any]]:
    return [
        {"severity": str(each.finding.severity), "finding": each.finding.name, "acknowledged": each.acknowledged}
        for each in examination.findings
    ]
