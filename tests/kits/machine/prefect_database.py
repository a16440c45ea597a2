"""Prefect's SQLite database with its tables and no rows, made once for a test run: its migrations take seconds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from asof.home import PREFECT_DATABASE
from asof.settings import Settings
from local.stack.prefect_database import make_template
from tests.kits.machine.free_port import free_port


def migrated_database(folder: Path) -> Path:
    """The database; the first process to ask makes it, the others wait for it."""
    return make_template(folder / "migrated.db")


def copy_database(database: Path, settings: Settings) -> None:
    """Puts a copy where the Prefect server of these settings looks for its own."""
    settings.prefect_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(database, settings.prefect_home / PREFECT_DATABASE)


@contextmanager
def prefect_server(server: Settings, database: Path, folder: Path, *arguments: str) -> Iterator[str]:
    """The address of a real Prefect server with a copy of the database, for a block."""
    from local.stack import background
    from local.stack.services import prefect_service

    own = server.model_copy(update={"home": folder})
    copy_database(database, own)
    whole = prefect_service(own)
    service = replace(whole, arguments=(*whole.arguments, *arguments))
    port = free_port(14200, service.title)
    running = background.launch(service, folder, ("127.0.0.1", port))
    try:
        background.wait_until_healthy(service, running, folder)
        yield f"{running.address}/api"
    finally:
        background.end(service.name, folder)
