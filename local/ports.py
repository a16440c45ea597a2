"""Free TCP ports: a preferred one or the next, or any."""

import logging
import socket
from collections.abc import Iterator

from asof.errors import ConfigurationError

ATTEMPTS = 100
logger = logging.getLogger(__name__)


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens on the port and we can bind it."""
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
    """A free port, chosen by the system."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(host: str, preferred: int, what: str) -> Iterator[int]:
    """Yields free ports from `preferred` upwards, with a warning for any other port than the preferred one.

    Raises ConfigurationError after ATTEMPTS ports.
    """
    last = min(preferred + ATTEMPTS, 65536)
    for port in range(preferred, last):
        if is_free(host, port):
            if port != preferred:
                logger.warning("Port %d is in use; %s uses %d.", preferred, what, port)
            yield port
    raise ConfigurationError(f"No free port for {what} from {preferred} to {last - 1} on {host}. Set another port.")
