"""Scores -> a folder of Parquet parts for each run, each written to a temporary file and renamed.

Each part has the run and its tally so far in its metadata, which is all that resuming needs. `_SUCCESS`, written last,
lists the parts with their SHA-256.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, parquet
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from asof.errors import ScoringError
from asof.files import rename_durably, try_lock
from asof.settings import Settings
from training.scoring.results import ScoredChunk, already_running
from training.scoring.run import Run, Tally

MANIFEST = "_SUCCESS"
RUN, TALLY, ERASED = b"asof.run", b"asof.tally", b"asof.erased"
"""In a part's metadata: its run, the run's tally up to it, and how many of its users were erased since."""
FOLDERS = "score_folders"
"""The file of the home that lists the folders with scores."""


@dataclass
class ParquetWriter:
    """A `ScoreWriter` to the run's own folder."""

    folder: Path
    run: Run
    tally: Tally
    complete: bool
    parts: int

    def write(self, chunk: ScoredChunk) -> None:
        rows = chunk.rows.replace_schema_metadata({RUN: to_json(self.run), TALLY: to_json(chunk.tally)})
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"part-{self.parts:05}.parquet"
        temporary = part.with_name(f".{part.name}")
        parquet.write_table(rows, temporary, compression="zstd")
        rename_durably(temporary, part)
        self.parts += 1

    def finish(self, tally: Tally) -> None:
        manifest = {
            "run": self.run,
            "tally": tally,
            "finished_at": datetime.now(UTC),
            "parts": [part_entry(part) for part in _parts(self.folder)],
        }
        temporary = self.folder / f".{MANIFEST}"
        temporary.write_bytes(to_json(manifest, indent=2) + b"\n")
        rename_durably(temporary, self.folder / MANIFEST)


@contextmanager
def in_parquet(target: Path, run: Run, *, any_known_at: bool) -> Iterator[ParquetWriter]:
    """An `OpenWriter`. Before the first chunk only the folder and a lock file are created."""
    if target.exists() and not target.is_dir():
        raise ScoringError(f"{target} is a file: name a folder with --to, or `postgres`.")
    target.mkdir(parents=True, exist_ok=True)
    if (lock := try_lock(target / f".{_name(run)}.lock")) is None:
        raise already_running(run)
    with lock:
        folders = sorted(target.glob(f"{_name(run)}-known-at-*")) if any_known_at else [target / _own_name(run)]
        earlier = [
            each for each in map(_resumed, filter(_parts, folders)) if each.run.known_at_start or not any_known_at
        ]
        yield earlier[-1] if earlier else ParquetWriter(target / _own_name(run), run, Tally(), complete=False, parts=0)


def _resumed(folder: Path) -> ParquetWriter:
    """The writer of an earlier run, after its last renamed part. Raises ScoringError where a part is gone."""
    manifest, metadata = folder / MANIFEST, [_metadata(part) for part in _parts(folder)]
    last, complete = metadata[-1].metadata, manifest.exists()
    content = from_json(manifest.read_bytes())["tally"] if complete else from_json(last[TALLY])
    tally = TypeAdapter(Tally).validate_python(content)
    erased = sum(int(each.metadata.get(ERASED, b"0")) for each in metadata)
    if (rows := sum(each.num_rows for each in metadata) + erased) != tally.scored:
        raise ScoringError(
            f"The parts in {folder} hold {rows} users, and {tally.scored} were scored: a part is gone. Restore it, "
            "or delete the folder and score again."
        )
    run = TypeAdapter(Run).validate_json(last[RUN])
    return ParquetWriter(folder, run, tally, complete=complete, parts=len(metadata))


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
