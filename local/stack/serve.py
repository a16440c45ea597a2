"""Serves a Bento: in the background of a `with` block, or in the foreground."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from asof.settings import Settings, environment_of_servers
from local.ports import free_ports
from local.stack import background
from local.stack.background import Service
from local.stack.services import prediction_service


@contextmanager
def serving(settings: Settings, bento: str) -> Iterator[str]:
    """Yields the address of a ready service, which ends with the block.

    Raises ConfigurationError with the end of its log if it does not come up.
    """
    service = prediction_service(settings, bento)
    with TemporaryDirectory(prefix="asof-serve-") as name:
        folder = Path(name)
        running = background.launch(service, folder, (settings.host, _port(settings, service)))
        try:
            background.wait_until_healthy(service, running, folder)
            yield running.address
        finally:
            background.end(service.name, folder)


def serve_in_foreground(settings: Settings, bento: str) -> None:
    """Replaces this process by `bentoml serve`."""
    service = prediction_service(settings, bento)
    where = ("--host", settings.host, "--port", str(_port(settings, service)))
    os.chdir(settings.home)
    os.execve(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", service.module, *service.arguments, *where],
        {**environment_of_servers(), **service.environment},
    )


def _port(settings: Settings, service: Service) -> int:
    return next(iter(free_ports(settings.host, service.port, service.title)))
