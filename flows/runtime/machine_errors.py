"""Messages for errors of the machine that libraries raise in many forms, such as a full disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asof.errors import AsOfError, is_disk_error


def explain_machine_error(error: BaseException) -> str | None:
    """The problem and the next step; None for any other error."""
    if isinstance(error, AsOfError) and is_disk_error(error):
        return None  # its message already says so
    causes = [each for each in _chain(error) if is_disk_error(each)]
    return _explain_disk_error(causes[-1]) if causes else None


def _explain_disk_error(error: BaseException) -> str:
    reason = str(getattr(error, "strerror", None) or str(error).splitlines()[0]).rstrip(".")
    return f"The disk of {_location(error)} cannot be written ({reason}): make room there, then run the command again."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, as libraries wrap the error of the system."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _location(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(error.filename or _fullest_folder())
    from asof.settings import Settings
    from local.embedded_postgres import postgres

    settings = Settings()
    if not type(error).__module__.startswith("psycopg"):
        scheme, _, file = (settings.mlflow_tracking_uri or "").partition(":///")
        return file if scheme == "sqlite" else str(settings.home)
    if postgres.is_embedded(settings):
        return f"PostgreSQL, {postgres.status(settings).data},"
    return f"PostgreSQL at {settings.database().host}"


def _fullest_folder() -> Path:
    """Of the folders that we write to, the one with the least free space: a write error has no path."""
    from asof.settings import Settings

    folders = [Settings().home, Path(tempfile.gettempdir()), Path.cwd()]
    there = [folder for folder in folders if os.access(folder, os.X_OK)]
    return min(there, key=lambda folder: shutil.disk_usage(folder).free)
