"""python -m asof.ledger [--until-idle]: ships the spool to the ledger's database, until it is ended."""

import argparse
import logging

import psycopg

from asof.ledger.shipper import run
from asof.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m asof.ledger", description=__doc__)
    parser.add_argument("--until-idle", action="store_true", help="End when no worker has written for ten seconds.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    conninfo = settings.ledger_conninfo(default_transaction_read_only="off", application_name="asof ledger")
    run(settings.ledger_folder, lambda: psycopg.connect(conninfo, autocommit=True), until_idle=arguments.until_idle)


if __name__ == "__main__":
    main()
