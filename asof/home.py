"""ASOF_HOME: a folder that only its owner may enter, since it holds values of users, addresses and keys.

The platforms create their files with the umask of the command's caller, so permissions are restricted here.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import Settings

RESERVED_CHARACTERS = frozenset('%?#"$\\')
"""Characters of a path that an address, a template or a shell of one of the platforms would interpret."""
PREFECT_DATABASE = "prefect.db"
MIN_FREE_BYTES = 64 * 1024
"""Must be writable before anything begins."""


def prepare_home(settings: Settings) -> None:
    """Creates the home and Prefect's folder for our user alone, and restricts existing ones that are ours.

    Raises ConfigurationError where one is not writable, or a platform cannot use its path.
    """
    _prepare("ASOF_HOME", settings.home)
    for path in settings.home.iterdir():
        with suppress(FileNotFoundError):  # another process has removed it
            _restrict(path)
    _prepare("PREFECT_HOME", settings.prefect_home)
    private_file(settings.prefect_home / PREFECT_DATABASE)


def _prepare(name: str, folder: Path) -> None:
    if bad := sorted(each for each in str(folder) if each in RESERVED_CHARACTERS or not each.isprintable()):
        raise ConfigurationError(
            f"{name} {str(folder)!r} contains {' '.join(map(repr, bad))}, which not every platform accepts in a path: "
            f"set {name} to a folder without it."
        )
    try:
        with tempfile.TemporaryFile(dir=private_folder(folder)) as probe:
            probe.write(bytes(MIN_FREE_BYTES))
    except OSError as error:
        raise ConfigurationError(
            f"{name} {folder} cannot be written ({error.strerror}): free disk space, change its owner, "
            f"or set {name} to another folder."
        ) from None


def private_folder(folder: Path) -> Path:
    """The folder, created if it is absent, that only its owner may enter."""
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    _restrict(folder)
    return folder


def private_file(file: Path) -> Path:
    """The file, created if it is absent, that only its owner may read."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR))
    _restrict(file)
    return file


def _restrict(path: Path) -> None:
    """Removes the permissions of group and others on a file or folder of ours.

    Kept is the group's search permission that root sets for PostgreSQL (`local.embedded_postgres.system_account`).
    """
    status = path.lstat()
    if status.st_uid != os.geteuid() or stat.S_ISLNK(status.st_mode):
        return
    kept = stat.S_IXGRP if status.st_gid != os.getegid() and stat.S_ISDIR(status.st_mode) else 0
    mode = stat.S_IMODE(status.st_mode) & (stat.S_IRWXU | kept)
    if mode != stat.S_IMODE(status.st_mode):
        path.chmod(mode)
