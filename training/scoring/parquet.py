"""Scores -> a folder of Parquet parts for each run, one for each range, each written to a temporary file and renamed.

Each part has the run and its own tally in its metadata; `_PLAN`, written first, has the run and the users at which its
ranges begin: all that resuming needs. `_SUCCESS`, written last, lists the parts with their SHA-256. Workers on other
machines write to the same folder, which must be mounted there under the same path.
"""

import hashlib
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as arrow
from pyarrow import ArrowException, parquet
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from asof.errors import ScoringError
from asof.files import rename_durably, try_lock
from asof.settings import Settings
from training.scoring.results import ScoredChunk, already_running, row_schema
from training.scoring.run import Run, Tally

MANIFEST, PLAN = "_SUCCESS", "_PLAN"
RUN, TALLY, ERASED = b"asof.run", b"asof.tally", b"asof.erased"
"""In a part's metadata: its run, its tally, and how many of its users were erased since."""
FOLDERS = "score_folders"
"""The file of the home that lists the folders with scores."""


@dataclass(frozen=True)
class ParquetWriter:
    """A `RangeWriter` to the run's own folder."""

    folder: Path
    run: Run

    def write(self, settings: Settings, number: int, chunks: Iterator[ScoredChunk]) -> Tally:  # noqa: ARG002
        part = self.folder / f"part-{number:05}.parquet"
        if part.exists():
            return _tally(_metadata(part))
        scored = [*chunks]
        tally = sum((chunk.tally for chunk in scored), Tally())
        rows = arrow.concat_tables([chunk.rows for chunk in scored]) if scored else row_schema({}).empty_table()
        rows = rows.replace_schema_metadata({RUN: to_json(self.run), TALLY: to_json(tally)})
        draft = part.with_name(f".{part.name}.{socket.gethostname()}.{os.getpid()}")
        parquet.write_table(rows, draft, compression="zstd")
        rename_durably(draft, part)
        return tally


@dataclass(frozen=True)
class Plan:
    """The content of `_PLAN`."""

    run: Run
    cuts: Sequence[str]


@dataclass
class ParquetRun:
    """An `OpenRun` in its own folder."""

    folder: Path
    run: Run
    tally: Tally
    complete: bool = False
    cuts: Sequence[str] | None = None
    done: Collection[int] = ()

    def begin(self, cuts: Sequence[str]) -> ParquetWriter:
        if self.cuts is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(PLAN, Plan(self.run, cuts))
        for draft in self.folder.glob(".part-*"):  # of workers that were killed
            draft.unlink(missing_ok=True)
        return ParquetWriter(self.folder, self.run)

    def advance(self, tally: Tally) -> None:
        """Nothing: each part has its own tally."""

    def finish(self, tally: Tally) -> None:
        parts = [part_entry(part) for part in _parts(self.folder)]
        self._write(MANIFEST, {"run": self.run, "tally": tally, "finished_at": datetime.now(UTC), "parts": parts})
        (self.folder / PLAN).unlink(missing_ok=True)  # an erasure may have been faster

    def _write(self, name: str, content: object) -> None:
        draft = self.folder / f".{name}"
        draft.write_bytes(to_json(content, indent=2) + b"\n")
        rename_durably(draft, self.folder / name)


@contextmanager
def in_parquet(target: Path, run: Run, *, any_known_at: bool) -> Iterator[ParquetRun]:
    """A `FindRun`. Before it is begun only the folder and a lock file are created."""
    if target.exists() and not target.is_dir():
        raise ScoringError(f"{target} is a file: name a folder with --to, or `postgres`.")
    target.mkdir(parents=True, exist_ok=True)
    if (lock := try_lock(target / f".{_name(run)}.lock")) is None:
        raise already_running(run)
    with lock:
        folders = sorted(target.glob(f"{_name(run)}-known-at-*")) if any_known_at else [target / _own_name(run)]
        earlier = [each for each in map(_resumed, folders) if each and (each.run.known_at_start or not any_known_at)]
        yield earlier[-1] if earlier else ParquetRun(target / _own_name(run), run, Tally())


def _resumed(folder: Path) -> ParquetRun | None:
    """An earlier run; None where nothing of it is there."""
    if (folder / MANIFEST).exists():
        return _finished(folder)
    metadata = {int(part.stem.removeprefix("part-")): _metadata(part) for part in _parts(folder)}
    if (folder / PLAN).exists():
        plan = TypeAdapter(Plan).validate_json((folder / PLAN).read_bytes())
        tally = sum(map(_tally, metadata.values()), Tally())
        return ParquetRun(folder, plan.run, tally, cuts=plan.cuts, done=metadata.keys())
    if metadata:
        return ParquetRun(folder, _run(metadata[0]), Tally(), done=metadata.keys())
    return None


def _finished(folder: Path) -> ParquetRun:
    """Raises ScoringError where a part is gone."""
    metadata = [_metadata(part) for part in _parts(folder)]
    manifest = from_json((folder / MANIFEST).read_bytes())
    tally = TypeAdapter(Tally).validate_python(manifest["tally"])
    erased = sum(int(each.metadata.get(ERASED, b"0")) for each in metadata)
    if (rows := sum(each.num_rows for each in metadata) + erased) != tally.scored:
        raise ScoringError(
            f"The parts in {folder} hold {rows} users, and {tally.scored} were scored: a part is gone. Restore it, "
            "or delete the folder and score again."
        )
    return ParquetRun(folder, TypeAdapter(Run).validate_python(manifest["run"]), tally, complete=True)


def _run(metadata: Any) -> Run:
    return TypeAdapter(Run).validate_json(metadata.metadata[RUN])


def _tally(metadata: Any) -> Tally:
    return TypeAdapter(Tally).validate_json(metadata.metadata[TALLY])


def _metadata(part: Path) -> Any:
    try:
        return parquet.read_metadata(part)
    except (ArrowException, OSError) as error:
        raise ScoringError(f"{part} cannot be read ({error}): restore it, or delete its folder.") from error


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _name(run: Run) -> str:
    as_of = _stamp(run.as_of).replace(".000000", "")
    return f"{run.model}-v{run.version}-{run.run_id[:8]}-as-of-{as_of}"


def _own_name(run: Run) -> str:
    return f"{_name(run)}-known-at-{_stamp(run.known_at)}"


def _stamp(moment: datetime) -> str:
    """Of fixed length, so that names sort by their moments."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def remember_folder(settings: Settings, folder: Path) -> None:
    """Lists the folder in the home, so that `flows erase` finds it."""
    if folder.resolve() not in remembered_folders(settings):
        settings.home.mkdir(parents=True, exist_ok=True)
        with (settings.home / FOLDERS).open("a", encoding="utf-8") as file:
            file.write(f"{folder.resolve()}\n")


def remembered_folders(settings: Settings) -> list[Path]:
    """The folders with scores that were written from this home, and are still there."""
    file = settings.home / FOLDERS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [folder for line in dict.fromkeys(lines) if (folder := Path(line)).is_dir()]


def part_entry(part: Path) -> dict[str, Any]:
    """What the manifest has of a part."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = parquet.read_metadata(part).num_rows
    return {"name": part.name, "rows": rows, "bytes": part.stat().st_size, "sha256": digest}
