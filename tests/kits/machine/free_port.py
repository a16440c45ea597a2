"""Ports for servers that a test starts: each process of the test run looks from another number on.

Between a look at a port and the server that takes it seconds go by; two processes would find the same one free.
"""

import os

from local.ports import free_ports

APART = 500


def apart(preferred: int) -> int:
    """The port from which this process looks on: pytest-xdist numbers its processes gw0, gw1 and so on."""
    return preferred + APART * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port(preferred: int, what: str) -> int:
    """A free one on loopback."""
    return next(iter(free_ports("127.0.0.1", apart(preferred), what)))
