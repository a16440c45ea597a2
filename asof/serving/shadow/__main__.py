"""python -m asof.serving.shadow: scores what the service answers with the version that ASOF_SHADOW names.

The service starts it by itself, and it ends after the last of the service's workers.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from asof import use_cases
from asof.errors import AsOfError
from asof.serving.logs.json_log import configure_logging
from asof.serving.shadow.process import ShadowProcess
from asof.settings import Settings, log_format
from asof.trust.signing_keys import trusted_keys

LEAST_PRIORITY = 19
"""Of the processor's time: workers come first."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m asof.serving.shadow", description=__doc__)
    parser.add_argument("use_case")
    parser.add_argument("--lock", type=int, metavar="FD", required=True, help="The locked file.")
    parser.add_argument("--bento", required=True, help="The Bento that answers.")
    parser.add_argument("--keys", default="", help="The Bento's trusted keys.")
    parser.add_argument("--cache", type=Path, required=True, help="The folder for models.")
    arguments = parser.parse_args()
    configure_logging(log_format())
    os.nice(LEAST_PRIORITY)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # BentoML signals the children of a worker that it stops
    with os.fdopen(arguments.lock, "a"):
        try:
            settings = Settings()
            keys, use_case = trusted_keys(settings, arguments.keys), use_cases.load(arguments.use_case)
            ShadowProcess(settings, use_case, keys, bento=arguments.bento, cache=arguments.cache).run()
        except (AsOfError, OSError) as error:  # OSError: a full disk
            sys.exit(f"The shadow's process ends: {error}")


if __name__ == "__main__":
    main()
