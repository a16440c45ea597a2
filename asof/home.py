"""ASOF_HOME: a folder that only its owner reads, or one sentence why there can be none.

What lies in it holds values of users, addresses and keys. The platforms make their files with the umask of whoever
starts a command, so folders are closed here, whatever that is.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import Settings

UNUSABLE = frozenset('%?#"$\\')
"""Characters of a path that an address, a template or a shell of one of the platforms takes for its own."""
PREFECT_DATABASE = "prefect.db"
PROBE = 64 * 1024
"""Bytes that must fit before anything begins."""


def prepare_home(settings: Settings) -> None:
    """Makes the home and Prefect's folder, for us alone; closes those that are there and ours.

    Raises ConfigurationError where one cannot be written, or the platforms cannot use a path like that.
    """
    _prepare("ASOF_HOME", settings.home)
    for each in settings.home.iterdir():
        with suppress(FileNotFoundError):  # another process has taken it away
            _close(each)
    _prepare("PREFECT_HOME", settings.prefect_home)
    private_file(settings.prefect_home / PREFECT_DATABASE)


def _prepare(name: str, folder: Path) -> None:
    if bad := sorted(each for each in str(folder) if each in UNUSABLE or not each.isprintable()):
        raise ConfigurationError(
            f"{name} {str(folder)!r} holds {' '.join(map(repr, bad))}, which not every platform can have in a path: "
            f"set {name} to a folder without it."
        )
    try:
        with tempfile.TemporaryFile(dir=private_folder(folder)) as probe:
            probe.write(bytes(PROBE))
    except OSError as error:
        raise ConfigurationError(
            f"{name} {folder} cannot be written ({error.strerror}): make room or change its owner, "
            f"or set {name} to another folder."
        ) from None


def private_folder(folder: Path) -> Path:
    """The folder, made if it is absent, that only its owner enters."""
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    _close(folder)
    return folder


def private_file(file: Path) -> Path:
    """The file, made if it is absent, that only its owner reads."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR))
    _close(file)
    return file


def _close(path: Path) -> None:
    """Takes from others what they may do to a file or folder of ours.

    The group that root lets pass through its home, PostgreSQL's, still may (`local.embedded_postgres.system_account`).
    """
    found = path.lstat()
    if found.st_uid != os.geteuid() or stat.S_ISLNK(found.st_mode):
        return
    passes = stat.S_IXGRP if found.st_gid != os.getegid() and stat.S_ISDIR(found.st_mode) else 0
    wanted = stat.S_IMODE(found.st_mode) & (stat.S_IRWXU | passes)
    if wanted != stat.S_IMODE(found.st_mode):
        path.chmod(wanted)
