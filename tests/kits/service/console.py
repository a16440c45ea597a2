"""A console as `make up` starts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from asof.settings import Settings
from local.stack import background
from local.stack.services import console_service
from tests.kits.service.serving import free_port


@contextmanager
def served_console(settings: Settings, folder: Path) -> Iterator[httpx.Client]:
    """A client of a console with these settings; its log is in the folder."""
    service = console_service(settings)
    running = background.launch(service, folder, ("127.0.0.1", free_port()))
    try:
        background.wait_until_healthy(service, running, folder)
        with httpx.Client(base_url=running.address, timeout=30) as client:
            yield client
    finally:
        background.end(service.name, folder)
