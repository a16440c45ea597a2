"""Prefect's SQLite database with its tables and no rows, made once for a test run: its migrations take seconds."""

import shutil
from pathlib import Path

from asof.home import PREFECT_DATABASE
from asof.settings import Settings
from local.stack.prefect_database import make_template


def migrated_database(folder: Path) -> Path:
    """The database; the first process to ask makes it, the others wait for it."""
    return make_template(folder / "migrated.db")


def copy_database(database: Path, settings: Settings) -> None:
    """Puts a copy where the Prefect server of these settings looks for its own."""
    settings.prefect_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(database, settings.prefect_home / PREFECT_DATABASE)
