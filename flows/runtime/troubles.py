"""An error -> the sentence of a machine's trouble, whichever library it came through: a full disk, no Prefect."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asof.errors import AsOfError, is_disk_error
from asof.settings import Settings
from local.embedded_postgres import postgres

PREFECT = "Prefect's temporary server did not start on its database"


def machine_trouble(error: BaseException) -> str | None:
    """What is wrong and the next step; None where the error is of another kind."""
    if isinstance(error, RuntimeError) and "ephemeral Prefect" in str(error):
        return f"{PREFECT} in {Settings().prefect_home}: run `make up`, whose server is used instead, and try again."
    return disk_trouble(error)


def disk_trouble(error: BaseException) -> str | None:
    """Which disk, which path and the next step; None where the error, and what led to it, is of another kind.

    None as well for an error of ours that tells it by itself.
    """
    if isinstance(error, AsOfError) and is_disk_error(error):
        return None
    troubles = [each for each in _chain(error) if is_disk_error(each)]
    if not troubles:
        return None
    found = troubles[-1]  # libraries wrap what the system said
    said = str(getattr(found, "strerror", None) or str(found).splitlines()[0]).rstrip(".")
    return f"The disk of {_place(found)} takes nothing more ({said}): make room there, then run the command again."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(error.filename or _fullest())
    settings = Settings()
    if not type(error).__module__.startswith("psycopg"):
        scheme, _, file = (settings.mlflow_tracking_uri or "").partition(":///")
        return file if scheme == "sqlite" else str(settings.home)
    if postgres.is_embedded(settings):
        return f"PostgreSQL, {postgres.status(settings).data},"
    return f"PostgreSQL at {settings.database().host}"


def _fullest() -> Path:
    """Writing tells no path: of the folders that we write to, that with the least room."""
    folders = [Settings().home, Path(tempfile.gettempdir()), Path.cwd()]
    there = [folder for folder in folders if os.access(folder, os.X_OK)]
    return min(there, key=lambda folder: shutil.disk_usage(folder).free)
