"""The pages in ASOF_HOME: that of now, and that of each run that found something new. They name no entity."""

import shutil
from pathlib import Path
from uuid import UUID

from asof.settings import Settings
from asof.use_case import UseCase

KEPT = 400
"""Pages of runs that are kept for a use case; the oldest go first."""


def page_of_now(settings: Settings, use_case: UseCase) -> Path:
    """Where `flows report` writes the page unless it is told."""
    return settings.home.absolute() / "reports" / f"{use_case.name}.html"


def page_of_run(settings: Settings, use_case: UseCase, run: UUID) -> Path:
    """Where the page of a run is kept: in the order of names runs are in the order of time, as ids of version 7 are."""
    return settings.home.absolute() / "reports" / use_case.name / f"{run}.html"


def keep_page(settings: Settings, use_case: UseCase, run: UUID) -> Path:
    """Keeps the page of now as that of a run; returns its path."""
    own = page_of_run(settings, use_case, run)
    own.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page_of_now(settings, use_case), own)
    for old in sorted(own.parent.glob("*.html"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return own
