"""Results -> a folder of Parquet parts, each written aside and then renamed; the last file is the manifest.

The folder given holds one folder for each run, so that another version or moment lies beside it. Each part carries the
run and its tally up to there: whoever goes on needs no other record. `_SUCCESS` lists the parts with their SHA-256.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, parquet

from asof.errors import ScoringError
from asof.files import rename_durably, try_lock
from training.scoring.results import Results, busy
from training.scoring.run import Run, Tally

MANIFEST = "_SUCCESS"
RUN, TALLY = b"asof.run", b"asof.tally"


@dataclass
class ParquetPlace:
    """A run in a folder of its own."""

    folder: Path
    run: Run
    tally: Tally
    complete: bool
    parts: int

    def write(self, results: Results) -> None:
        rows = results.rows.replace_schema_metadata(
            {RUN: json.dumps(self.run.to_dict()), TALLY: json.dumps(results.tally.to_dict())}
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"part-{self.parts:05}.parquet"
        aside = part.with_name(f".{part.name}")
        parquet.write_table(rows, aside, compression="zstd")
        rename_durably(aside, part)
        self.parts += 1

    def finish(self, tally: Tally) -> None:
        told = {
            "run": self.run.to_dict(),
            "tally": tally.to_dict(),
            "finished_at": datetime.now(UTC).isoformat(),
            "parts": [_described(part) for part in _parts(self.folder)],
        }
        aside = self.folder / f".{MANIFEST}"
        aside.write_text(json.dumps(told, indent=2) + "\n")
        rename_durably(aside, self.folder / MANIFEST)


@contextmanager
def in_parquet(target: Path, run: Run, *, any_known_at: bool) -> Iterator[ParquetPlace]:
    """An `Opener`. Nothing is written before the first chunk but the folder and a lock file."""
    if target.exists() and not target.is_dir():
        raise ScoringError(f"{target} is a file: name a folder with --to, or `postgres`.")
    target.mkdir(parents=True, exist_ok=True)
    with _turn(target, run):
        found = sorted(target.glob(f"{_name(run)}-known-at-*")) if any_known_at else [target / _own_name(run)]
        held = [each for each in map(_held, filter(_parts, found)) if each.run.of_its_day or not any_known_at]
        yield held[-1] if held else ParquetPlace(target / _own_name(run), run, Tally(), complete=False, parts=0)


@contextmanager
def _turn(target: Path, run: Run) -> Iterator[None]:
    """A lock of the file system: it ends with its process, however that ends."""
    lock = try_lock(target / f".{_name(run)}.lock")
    if lock is None:
        raise busy(run)
    with lock:
        yield


def _held(folder: Path) -> ParquetPlace:
    """What a run has left there. A part that was not renamed was never there. Raises ScoringError where one is gone."""
    manifest, metadata = folder / MANIFEST, [_metadata(part) for part in _parts(folder)]
    told = {key: json.loads(metadata[-1].metadata[key]) for key in (RUN, TALLY)}
    complete = manifest.exists()
    tally = Tally(**(json.loads(manifest.read_text())["tally"] if complete else told[TALLY]))
    if (rows := sum(each.num_rows for each in metadata)) != tally.scored:
        raise ScoringError(
            f"The parts in {folder} hold {rows} users, and {tally.scored} were scored: a part is gone. Bring it back, "
            "or delete the folder and score again."
        )
    return ParquetPlace(folder, Run.from_dict(told[RUN]), tally, complete=complete, parts=len(metadata))


def _metadata(part: Path) -> Any:
    try:
        return parquet.read_metadata(part)
    except (ArrowException, OSError) as error:
        raise ScoringError(f"{part} cannot be read ({error}): bring it back, or delete its folder.") from error


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _name(run: Run) -> str:
    as_of = _stamp(run.as_of).replace(".000000", "")
    return f"{run.model}-v{run.version}-{run.run_id[:8]}-as-of-{as_of}"


def _own_name(run: Run) -> str:
    return f"{_name(run)}-known-at-{_stamp(run.known_at)}"


def _stamp(moment: datetime) -> str:
    """Of one length, so that names are in the order of their moments."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def _described(part: Path) -> dict[str, Any]:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = parquet.read_metadata(part).num_rows
    return {"name": part.name, "rows": rows, "bytes": part.stat().st_size, "sha256": digest}
