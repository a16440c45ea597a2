"""The stage `inspect`: data checks on extracts or snapshots, and a page with charts."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from asof.extracts.cadence import moment_text
from asof.settings import Moment, Settings
from asof.use_case import FromRequest, UseCase
from asof.use_cases import default_name, load
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database
from flows.runtime.extract_files import check_extract_files
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.data.extracts.deliveries import find_deliveries
from training.features.datasets.dataset import newest_labelled
from training.inspection import Examination, examine, months_in, months_known, page, refuse_unacknowledged
from training.inspection.month import Month


@step("inspect-month")
def inspect_month(use_case: str, as_of: datetime, known_at: datetime | None) -> list[dict[str, Any]]:
    """Checks the month and publishes a row for each finding; empty if the use case has no feature store.

    Raises InspectionError on errors that the use case has not acknowledged.
    """
    settings, problem = settings_with_database(), load(use_case)
    if isinstance(problem.source, FromRequest):
        return []
    log.info("checking the data as of %s", moment_text(as_of))
    examination = _examine(problem, months_known(settings, problem.extract, as_of, known_at=known_at))
    rows = _rows(examination)
    publish_table("inspection", rows, f"Data checks of {use_case} as of {moment_text(as_of)}")
    refuse_unacknowledged(examination, problem)
    return rows


@step("inspect-snapshots")
def inspect_snapshots(use_case: str, as_of: datetime, known_at: datetime | None, page_at: str | None) -> dict[str, Any]:
    """Checks the month and writes the page."""
    settings, problem = settings_with_database(), load(use_case)
    months = months_known(settings, problem.extract, as_of, known_at=known_at)
    return _write_page(settings, problem, _examine(problem, months), page_at)


def inspect(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    page_at: str | None = None,
) -> dict[str, Any]:
    """Returns the findings as of a moment (default: the newest with labels) and the path of the page."""
    use_case = use_case or default_name(from_store=True)
    moment = as_of or newest_labelled(settings_with_database(), load(use_case))
    result = inspect_snapshots(use_case, moment, known_at, page_at)
    publish_table(
        "inspection", result["findings"], f"Data checks of {use_case} as of {moment_text(moment)}: {result['page']}"
    )
    return result


def inspect_folder(use_case: str, folder: Path, first: date | None, page_at: str | None) -> dict[str, Any]:
    """The same for every month in a folder of extracts; needs no server."""
    problem = load(use_case)
    extract = problem.extract
    deliveries = find_deliveries(
        folder, first=first, labels=extract.labels.stem, features=extract.feature_files, cadence=extract.cadence
    )
    check_extract_files(problem, folder, deliveries)
    return _write_page(Settings(), problem, _examine(problem, months_in(folder, problem.extract, first=first)), page_at)


def _examine(problem: UseCase, months: Iterable[Month]) -> Examination:
    return examine(_log_each(months), acknowledged=problem.acknowledged)


def _log_each(months: Iterable[Month]) -> Iterator[Month]:
    for month in months:
        log.info("%s, %d entities", moment_text(month.as_of), len(month.frame))
        yield month


def _write_page(settings: Settings, problem: UseCase, examination: Examination, page_at: str | None) -> dict[str, Any]:
    log.info("writing the page")
    newest = moment_text(examination.months[-1].as_of).replace(":", "")
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
