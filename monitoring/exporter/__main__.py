"""python -m monitoring.exporter: serves the figures of monitoring to Prometheus, until it is ended.

The metrics name no entity and need no key: listen where Prometheus alone can ask.
"""

import argparse
import logging
import signal
import sys

import psycopg
from prometheus_client import CollectorRegistry, start_http_server

from asof.errors import AsOfError
from asof.settings import Settings
from monitoring.exporter.metrics import MonitoringCollector

HOST, PORT = "127.0.0.1", 9109
ENDING = {signal.SIGTERM, signal.SIGINT}
LINE = "%(asctime)s %(levelname)s %(message)s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m monitoring.exporter", description=__doc__)
    parser.add_argument("--host", default=HOST, help=f"The address to listen on; default: {HOST}.")
    parser.add_argument("--port", type=int, default=PORT, help=f"The port to listen on; default: {PORT}.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format=LINE)
    try:
        conninfo = Settings().conninfo(
            default_transaction_read_only="on", statement_timeout="8s", application_name="asof exporter"
        )
    except AsOfError as error:
        sys.exit(str(error))
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # in the threads of scrapes, too: they are waited for below
    registry = CollectorRegistry()
    registry.register(MonitoringCollector(lambda: psycopg.connect(conninfo, connect_timeout=4)))
    try:
        server, _ = start_http_server(arguments.port, arguments.host, registry)
    except OSError as error:
        sys.exit(f"Cannot listen on {arguments.host}:{arguments.port} ({error.strerror}): choose another --port.")
    logging.getLogger(__name__).info("metrics at http://%s:%d/metrics", arguments.host, server.server_port)
    signal.sigwait(ENDING)
    server.shutdown()


if __name__ == "__main__":
    main()
