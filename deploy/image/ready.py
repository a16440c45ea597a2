"""The image's health check: exit code 0 if /readyz of this container answers 200. Needs only the standard library."""

import os
import socket
import sys

SECONDS = 4.0


def main() -> int:
    """Requests /readyz on BentoML's port."""
    port = int(os.environ.get("PORT") or os.environ.get("BENTOML_PORT") or 3000)
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            status = connection.recv(64).split(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        status = str(error)
    print(status)  # `docker inspect` keeps it
    return 0 if " 200 " in f"{status} " else 1


if __name__ == "__main__":
    sys.exit(main())
