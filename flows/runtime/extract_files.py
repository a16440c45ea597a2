"""Whether the files of a folder are those of the use case that was named, before anything is made of them."""

from collections.abc import Iterable
from pathlib import Path

from asof.errors import DataError
from asof.use_case import FromStore, UseCase
from asof.use_cases import others
from training.data.extracts.deliveries import Delivery


def refuse_foreign_files(use_case: UseCase, folder: Path, deliveries: Iterable[Delivery]) -> None:
    """Raises DataError where no file is one of the use case's, naming the use case whose files they are."""
    files = {path.name for each in deliveries for path in each.folder.glob("*.csv")}
    wanted = _files(use_case)
    if files & wanted:
        return
    whose = [other.name for other in others(use_case.name) if files & _files(other)]
    step = f"give --use-case {' or '.join(whose)}" if whose else "give --use-case, or the right folder"
    raise DataError(
        f"{folder} holds no file of use case {use_case.name!r} ({_listed(wanted)}), but {_listed(files)}: {step}."
    )


def _files(use_case: UseCase) -> set[str]:
    if not isinstance(use_case.source, FromStore):
        return set()
    extract = use_case.extract
    return {f"{table.name}.csv" for table in (*extract.tables, extract.labels)}


def _listed(files: set[str]) -> str:
    return ", ".join([*sorted(files)[:6], *(["..."] if len(files) > 6 else [])]) or "no CSV file"
