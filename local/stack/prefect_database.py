"""Prefect's SQLite database with its tables and no rows: `make setup` makes one, and a new stack begins with a copy.

Prefect's migrations from nothing take 7 seconds of a processor, for which the first `make up` would wait.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from asof.files import locked
from asof.home import PREFECT_DATABASE, private_file
from asof.settings import Settings


def template() -> Path:
    """Where the database of the installed release is, beside its packages."""
    return Path(sys.prefix) / "share" / "asof" / f"prefect-{version('prefect')}.db"


def make_template(path: Path) -> Path:
    """Makes it unless it is there; several processes may ask at once. Raises CalledProcessError where Prefect fails."""
    folder = path.with_suffix(".home")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not path.exists():
            words = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            subprocess.run(words, env=os.environ | {"PREFECT_HOME": str(folder)}, check=True, capture_output=True)  # noqa: S603
            (folder / PREFECT_DATABASE).rename(path)
    shutil.rmtree(folder, ignore_errors=True)
    return path


def provide_database(settings: Settings) -> None:
    """A copy for Prefect's server, if it has no database yet and one can be copied; else the server makes its own."""
    database = settings.prefect_home / PREFECT_DATABASE
    if not template().is_file() or (database.exists() and database.stat().st_size):
        return
    draft = private_file(database.with_name(f".{PREFECT_DATABASE}"))
    shutil.copyfile(template(), draft)
    draft.replace(database)


if __name__ == "__main__":
    make_template(template())
