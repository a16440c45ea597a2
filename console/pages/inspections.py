"""The pages of `flows inspect` in ASOF_HOME."""

import re
from datetime import UTC, datetime
from pathlib import Path

from asof.errors import DataError
from asof.settings import Settings
from console.visit import Context, Visit


def view(visit: Visit) -> Context:
    files = sorted(_folder(visit.settings).glob(f"{visit.use_case.name}-*.html"), reverse=True)
    own = [each for each in files if _is_name(visit, each.name)]
    return {
        "inspections": [
            {
                "name": each.name,
                "as_of": each.stem.removeprefix(f"{visit.use_case.name}-"),
                "written": datetime.fromtimestamp(each.stat().st_mtime, UTC),
            }
            for each in own
        ],
        "command": f"python -m flows inspect {visit.use_case.name}",
    }


def document(visit: Visit) -> str:
    """One of these pages. Raises DataError where there is none of that name."""
    path = _folder(visit.settings) / visit.rest
    if not _is_name(visit, visit.rest) or not path.is_file():
        raise DataError(f"There is no data check {visit.rest}: `python -m flows inspect` writes one.")
    return path.read_text(encoding="utf-8")


def _is_name(visit: Visit, name: str) -> bool:
    """Whether it is the name of a page of this use case: another's may begin with it."""
    return re.fullmatch(rf"{re.escape(visit.use_case.name)}-\d{{4}}-[\w:-]+\.html", name, re.ASCII) is not None


def _folder(settings: Settings) -> Path:
    return settings.home / "inspections"
