"""Disk and memory -> where there is too little of it."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from doctor.finding import Finding, error, warning
from doctor.given import Given
from local.embedded_postgres import postgres

GB = 1_000_000_000
FULL, TIGHT = 0.5 * GB, 3 * GB
"""Free bytes: PostgreSQL and BentoML fail soon below the one; the other is an image and a few Bentos away from it."""
FEWEST_FILES = 10_000
LONG = 1 * GB
LITTLE_MEMORY = 1.5 * GB
"""What training on 200,000 users, or the stack with all its servers, takes at least."""


@dataclass(frozen=True)
class Place:
    """Folders on one file system: bytes and files that it still takes; `limits_files` where it counts them."""

    folders: tuple[str, ...]
    free: int
    files: int
    limits_files: bool = True
    writable: bool = True


def look_at_room(given: Given) -> Iterator[Finding]:
    """Every check on disk and memory."""
    folders = {"ASOF_HOME": given.settings.home, "BENTOML_HOME": given.bentos, "temporary": Path(tempfile.gettempdir())}
    yield from no_folders(folders)
    if given.embedded:
        folders["PostgreSQL's data"] = postgres.status(given.settings).data
    yield from little_disk(places(folders.items()))
    yield from little_memory(psutil.virtual_memory().available)
    yield from long_logs(logs(given.settings.answer_log_file, given.settings.home / "run"))


def no_folders(told: Mapping[str, Path]) -> Iterator[Finding]:
    """Places that cannot be made, for a file is in their way."""
    for name, folder in told.items():
        there = _first_there(folder)
        if not there.is_dir():
            yield error(f"no-folder:{name}", f"{name} is {folder}, and {there} is a file.", f"Set {name} to a folder.")


def places(folders: Iterable[tuple[str, Path]]) -> list[Place]:
    """One for each file system; of a folder that is not there yet, the one in which it would be made."""
    together: dict[int, list[tuple[str, Path]]] = {}
    for name, folder in folders:
        there = _first_there(folder)
        together.setdefault(there.stat().st_dev, []).append((f"{name} ({folder})", there))
    return [_place(each) for each in together.values()]


def little_disk(found: Iterable[Place]) -> Iterator[Finding]:
    """File systems that are full, or soon will be."""
    for place in found:
        where = " and ".join(place.folders)
        if place.free < FULL:
            yield error("disk", f"{place.free / GB:.1f} GB are free for {where}.", _mend())
        elif place.free < TIGHT:
            yield warning("disk", f"{place.free / GB:.1f} GB are free for {where}.", _mend())
        if place.limits_files and place.files < FEWEST_FILES:
            yield error("disk-files", f"Only {place.files:,} more files fit where {where} lies (df -i).", _mend())
        if not place.writable:
            yield error("disk-read-only", f"We may not write to {where}.", "Change its owner, or set another folder.")


def little_memory(available: int) -> Iterator[Finding]:
    """Too little to train."""
    if available < LITTLE_MEMORY:
        found = f"{available / GB:.1f} GB of memory are available; training or the whole stack takes about 1.5."
        yield warning("memory", found, "End what is not needed, or `make down` before training.")


def logs(answers: Path, folder: Path) -> dict[Path, int]:
    """The answer log and the servers' logs with their sizes, as far as they are there."""
    return {path: path.stat().st_size for path in {answers, *folder.glob("*.log")} if path.is_file()}


def long_logs(sizes: Mapping[Path, int]) -> Iterator[Finding]:
    """Files that get a line for each answer, and that nobody shortens."""
    for path, size in sorted(sizes.items()):
        if size > LONG:
            found = f"{path} has grown to {size / GB:.1f} GB."
            yield warning(
                f"long-log:{path.name}", found, "Rotate it (logrotate, copytruncate); `trace` reads what is there."
            )


def _first_there(folder: Path) -> Path:
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _place(folders: list[tuple[str, Path]]) -> Place:
    there = folders[0][1]
    told = os.statvfs(there)
    return Place(
        tuple(name for name, _ in folders),
        shutil.disk_usage(there).free,
        files=told.f_favail,
        limits_files=told.f_files > 0,
        writable=all(os.access(folder, os.W_OK) for name, folder in folders if not name.startswith("PostgreSQL")),
    )


def _mend() -> str:
    return (
        "Make room: `bentoml delete NAME:VERSION`, `docker system prune`, or set ASOF_HOME and BENTOML_HOME elsewhere."
    )
