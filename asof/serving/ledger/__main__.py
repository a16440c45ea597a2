"""python -m asof.serving.ledger: ships the spool to the ledger's database, until it is ended.

The service starts it by itself, with `--lock`, unless ASOF_LEDGER_SHIP is False. `--drain` is for a pod of Kubernetes,
whose spool ends with it.
"""

import argparse
import os
import signal
import sys
from threading import Event

from asof.errors import AsOfError
from asof.files import try_lock
from asof.ledger.spool.shipper import LOCK, run
from asof.serving.logs.json_log import configure_logging
from asof.settings import Settings, log_format


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m asof.serving.ledger", description=__doc__)
    parser.add_argument("--lock", type=int, metavar="FD", help="The locked file; ends when no worker is left.")
    ship_all = "After SIGTERM goes on until no worker is left and everything is shipped."
    parser.add_argument("--drain", action="store_true", help=ship_all)
    arguments = parser.parse_args()
    configure_logging(log_format())
    try:
        settings = Settings()
        folder = settings.ledger_folder
        conninfo = settings.ledger_conninfo(default_transaction_read_only="off", application_name="asof ledger")
    except AsOfError as error:
        sys.exit(str(error))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if arguments.lock:  # BentoML signals the children of a worker that it stops, before the last answers are written
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lock = os.fdopen(arguments.lock, "a") if arguments.lock else try_lock(folder / LOCK)
    if lock is None:
        sys.exit(f"Another process ships {folder}: end it, or set ASOF_LEDGER_SPOOL to another folder.")
    ending = Event()
    if arguments.drain:
        signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with lock:
        run(folder, conninfo, with_workers=bool(arguments.lock), ending=ending)


if __name__ == "__main__":
    main()
