"""Checks that a folder holds extracts of the use case."""

from collections.abc import Iterable
from pathlib import Path

from asof.errors import DataError
from asof.use_case import FromStore, UseCase
from asof.use_cases import others
from training.data.extracts.deliveries import Delivery
from training.data.extracts.files.data_files import data_files, delivered_tables


def check_extract_files(use_case: UseCase, folder: Path, deliveries: Iterable[Delivery]) -> None:
    """Raises DataError if no file belongs to the use case; the message names the use case that they belong to."""
    folders = [each.folder for each in deliveries if each.folder]
    tables = {table for each in folders for table in delivered_tables(each)}
    if not tables.isdisjoint(_tables(use_case)):
        return
    with_files = (each for each in others(use_case.name) if isinstance(each.source, FromStore))
    owners = [each.name for each in with_files if not tables.isdisjoint(_tables(each))]
    step = f"name use case {' or '.join(owners)}" if owners else "name another use case or folder"
    expected, files = use_case.extract.file_names, {path.name for each in folders for path in data_files(each)}
    raise DataError(
        f"{folder} holds no file of use case {use_case.name!r} ({_listed(expected)}), but {_listed(files)}: {step}."
    )


def _tables(use_case: UseCase) -> set[str]:
    return {table.stem for table in use_case.extract.loaded_tables}


def _listed(files: Iterable[str]) -> str:
    names = sorted(files)
    return ", ".join([*names[:6], *(["..."] if len(names) > 6 else [])]) or "no data file"
