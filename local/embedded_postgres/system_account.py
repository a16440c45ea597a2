"""The system user that runs the embedded PostgreSQL, and the files that it can reach.

PostgreSQL refuses to run as root, so root starts it as `postgres` or `nobody`; other users run it themselves.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from asof.errors import ConfigurationError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A system user to run commands as; `uid` None is the current user."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Runs a command as this user in `/`, without variables such as PGPORT."""
        prefix = (
            ()
            if self.uid is None
            else ("setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--")
        )
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return subprocess.run(  # noqa: S603 - a list of words of our own, no shell
            [*prefix, *map(str, words)],
            env={**kept, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can enter an existing folder."""
        return self.run("test", "-x", folder).returncode == 0

    def make_folder(self, folder: Path) -> None:
        """Creates a folder that only this user (and root) can read, unless it exists."""
        if folder.is_dir():
            return
        folder.mkdir(mode=0o700)
        self.own(folder)

    def allow_through(self, home: Path) -> None:
        """Lets this user's group pass through root's private home to the data in it."""
        if self.gid is not None and home.stat().st_uid == os.geteuid():
            os.chown(home, -1, self.gid)
            home.chmod(0o710)

    def own(self, path: Path) -> None:
        """Makes this user the owner of a file or folder that we created."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account_for(folder: Path) -> Account:
    """The user to run a server in this folder: the current one, or for root the folder's owner, `postgres` or `nobody`.

    Raises ConfigurationError if root finds none.
    """
    if os.geteuid() != 0:
        return Account()
    if folder.is_dir() and folder.stat().st_uid != 0:
        return Account(folder.stat().st_uid, folder.stat().st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(CANDIDATES)}: add one."
    )


def make_open_folder(folder: Path) -> None:
    """Creates a folder that every user can enter, unless it exists."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
