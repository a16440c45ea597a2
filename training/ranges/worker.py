"""What a worker does with a range; it makes sure by itself that it works with the same code and the same database."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Generic, TypeVar

import psycopg

from asof.errors import WorkerMismatch
from asof.settings import PROJECT, Settings, export
from training.data.snapshots.provenance import code_version
from training.ranges.plan import Range

Result = TypeVar("Result")
Work = Callable[[Settings, Range], Result]
"""What is done with one range; done again it has the same effect and result. It is pickled for other processes."""

PACKAGES = ("asof", "online_store", "training")
"""Our own of which a worker may run something."""
LIBRARIES = ("numpy", "onnxruntime", "psycopg", "pyarrow", "scikit-learn")
"""Those that compute and carry values."""
DATABASE = """
SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_system()"""
"""The same for a server and its streaming replicas."""


class WorkerLost(Exception):
    """The process or the node of a worker ended in the middle of a range."""


@dataclass(frozen=True)
class Place:
    """Where work is done: a digest of the code, the commit that it calls itself, the libraries, and the database."""

    code: str
    commit: str
    libraries: tuple[str, ...]
    database: tuple[int, int]


@dataclass(frozen=True)
class Task(Generic[Result]):
    """A work as it is sent to a worker, and the place that it was sent from."""

    work: Work[Result]
    origin: Place

    def __call__(self, settings: Settings | None, part: Range) -> Result:
        """Done by the worker, with its own settings where it gets none.

        Raises WorkerMismatch where its code, its libraries or its database are not those of the origin.
        """
        own = settings or Settings()
        export(own)
        _require_same(place_of(own), self.origin)
        return self.work(own, part)


def place_of(settings: Settings) -> Place:
    """This process, and the database of the settings."""
    with psycopg.connect(settings.conninfo()) as connection:
        row = connection.execute(DATABASE).fetchone() or (0, 0)
    return Place(*_running(), database=(int(row[0]), int(row[1])))


@lru_cache(maxsize=1)
def _running() -> tuple[str, str, tuple[str, ...]]:
    """Of the code that runs: a file that is edited later changes nothing in this process."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((PROJECT / package).rglob("*.py")):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(PROJECT)} {len(content)}\n".encode() + content)
    return digest.hexdigest(), str(code_version()), tuple(f"{name} {version(name)}" for name in LIBRARIES)


def _require_same(here: Place, origin: Place) -> None:
    differences = {
        f"runs other code (commit {here.commit}, not {origin.commit})": here.code != origin.code,
        f"has other libraries ({', '.join({*here.libraries} - {*origin.libraries})})": here.libraries
        != origin.libraries,
        "reads another database (its ASOF_POSTGRES_URL)": here.database != origin.database,
    }
    if wrong := [text for text, differs in differences.items() if differs]:
        raise WorkerMismatch(
            f"A worker {' and '.join(wrong)} than the command that sent it work: start the cluster's nodes from the "
            "same image and with the same settings. It did nothing."
        )
