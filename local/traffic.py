"""Which backend the front door sends requests to: a file `traffic.json`, replaced whole; a switch is one rename.

In comes the folder of records, out comes a Traffic. The front door holds a shared lock on a backend's record as long as
a request may be on its way to it: whoever gets the exclusive one knows that the last has been answered. The kernel
takes the lock from a process that dies.
"""

import fcntl
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FRONT = "prediction"
SLOTS = ("prediction-blue", "prediction-green")
"""Records of the two backends: one that answers, and one that is about to."""


@dataclass(frozen=True)
class Traffic:
    """The slot of the backend that answers, and the Bento in it."""

    slot: str
    bento: str


def traffic_file(folder: Path) -> Path:
    """The file that names the backend."""
    return folder / "traffic.json"


def read_traffic(folder: Path) -> Traffic | None:
    """Where requests go now; None where they go nowhere yet."""
    try:
        return Traffic(**json.loads(traffic_file(folder).read_text()))
    except (FileNotFoundError, ValueError):  # a power failure may leave an empty one
        return None


def switch(folder: Path, traffic: Traffic) -> None:
    """From now on requests go there; those that are on their way already are answered where they are."""
    draft = traffic_file(folder).with_suffix(".new")
    draft.write_text(json.dumps(asdict(traffic)))
    draft.replace(traffic_file(folder))


def wait_until_answered(record: Path, seconds: float) -> bool:
    """Whether, within `seconds`, the last request on its way to a backend that the traffic left has been answered."""
    deadline = time.monotonic() + seconds
    with record.open() as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            else:
                return True
