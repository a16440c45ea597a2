"""Checks that a folder holds extracts of the use case."""

from collections.abc import Iterable
from pathlib import Path

from asof.errors import DataError
from asof.use_case import FromStore, UseCase
from asof.use_cases import others
from training.data.extracts.deliveries import Delivery


def check_extract_files(use_case: UseCase, folder: Path, deliveries: Iterable[Delivery]) -> None:
    """Raises DataError if no file belongs to the use case; the message names the use case that they belong to."""
    files = {path.name for each in deliveries for path in each.folder.glob("*.csv")}
    expected = _files(use_case)
    if files & expected:
        return
    owners = [other.name for other in others(use_case.name) if files & _files(other)]
    step = f"use --use-case {' or '.join(owners)}" if owners else "use --use-case or another folder"
    raise DataError(
        f"{folder} holds no file of use case {use_case.name!r} ({_listed(expected)}), but {_listed(files)}: {step}."
    )


def _files(use_case: UseCase) -> set[str]:
    if not isinstance(use_case.source, FromStore):
        return set()
    extract = use_case.extract
    return {f"{table.name}.csv" for table in (*extract.tables, extract.labels)}


def _listed(files: set[str]) -> str:
    return ", ".join([*sorted(files)[:6], *(["..."] if len(files) > 6 else [])]) or "no CSV file"
