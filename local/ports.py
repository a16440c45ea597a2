"""A preferred TCP port in, that port or the next free one out; or any free one."""

import logging
import socket
from collections.abc import Iterator

from asof.errors import ConfigurationError

ATTEMPTS = 100
logger = logging.getLogger(__name__)


def is_free(host: str, port: int) -> bool:
    """Whether nobody answers at this address and we could listen on it."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free_port(host: str) -> int:
    """A port that nobody listens on, as the system chooses it."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(host: str, preferred: int, what: str) -> Iterator[int]:
    """Yields the free ports from `preferred` upwards, and says so where it is not the preferred one.

    Raises ConfigurationError after a hundred taken ones.
    """
    last = min(preferred + ATTEMPTS, 65536)
    for port in range(preferred, last):
        if is_free(host, port):
            if port != preferred:
                logger.warning("Port %d is taken; %s takes %d.", preferred, what, port)
            yield port
    raise ConfigurationError(f"No free port for {what} from {preferred} to {last - 1} on {host}: set another one.")
