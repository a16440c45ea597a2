"""The shipper's health check: exit code 0 if it reported lately, and no error; with --alive whatever it reported.

Needs only the standard library.
"""

import json
import os
import sys
import time
from pathlib import Path

SECONDS = 30.0


def main() -> int:
    """Reads what the shipper writes beside the spool."""
    try:
        state = json.loads((Path(os.environ["ASOF_LEDGER_SPOOL"]) / "shipper.json").read_text())
        age = time.time() - state["looked_at"]
        error = "" if "--alive" in sys.argv else state["error"]
        trouble = error or (f"no report for {age:.0f} s" if age > SECONDS else "")
    except (OSError, ValueError, KeyError) as error:
        trouble = f"{type(error).__name__}: {error}"
    print(trouble or "ok")  # `docker inspect` keeps it
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
