"""A lake: the folder ASOF_LAKE, with a folder for each use case.

    USE_CASE/lake.json                                   known_at, erasures, and the definition of each part
    USE_CASE/VIEW/as_of_day=2024-01-31/rows-0.parquet    keys, as_of, created_at, features
    USE_CASE/labels/as_of_day=2024-01-31/rows-0.parquet  keys, as_of, created_at, label

All rows are those that were known at one moment, `known_at`. The moment that a row describes is in its column as_of.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ValidationError

from asof.errors import TrainingSetError
from asof.settings import Settings
from asof.use_case import UseCase
from training.features.datasets.point_in_time_sql import ViewSource

DESCRIPTION, LABELS = "lake.json", "labels"
AS_OF, CREATED, DAY = "as_of", "created_at", "as_of_day"


class Part(BaseModel):
    """A view or the labels: the source's SQL, its columns by their names in the lake, and the number of rows."""

    source: str
    columns: Mapping[str, str]
    rows: int = 0


class Lake(BaseModel):
    """What a use case's folder holds; `erasures` is the number of those that its rows know of."""

    known_at: AwareDatetime
    erasures: int
    parts: Mapping[str, Part]

    def covers(self, view: ViewSource) -> bool:
        """Whether it has the rows of the view as it is defined now."""
        part = self.parts.get(view.view)
        return bool(part and part.source == view.text and columns_of(view).items() <= part.columns.items())


def columns_of(view: ViewSource) -> dict[str, str]:
    """The columns of its source by their names in the lake."""
    return {**view.keys, AS_OF: view.time, CREATED: view.created, **view.columns}


def folder_of(lake: Path, use_case: UseCase) -> Path:
    """The use case's folder."""
    return lake / use_case.name


def usable_lake(settings: Settings, use_case: UseCase, known_at: datetime | None) -> Lake | None:
    """The use case's part of ASOF_LAKE, where it has what was known at `known_at` (None: whenever).

    Raises TrainingSetError where its description cannot be read.
    """
    if settings.lake is None or not (file := folder_of(settings.lake, use_case) / DESCRIPTION).exists():
        return None
    try:
        lake = Lake.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainingSetError(f"{file} cannot be read ({type(error).__name__}). {again(use_case)}") from None
    return lake if known_at in (None, lake.known_at) else None


def again(use_case: UseCase) -> str:
    """What to do about a lake that cannot be used."""
    return f"Write the lake again with `python -m flows lake {use_case.name}`, or unset ASOF_LAKE."
