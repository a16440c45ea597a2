"""Which system user runs the embedded PostgreSQL, and what that user can reach.

PostgreSQL refuses to run as root. Root therefore starts it as `postgres`, or else `nobody`; anybody else as themselves.
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
    """A system user to run commands as; `uid` None means ourselves."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Runs a command as this user, from `/`, without our environment (PGPORT and the like must not reach it)."""
        become = (
            ()
            if self.uid is None
            else ("setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--")
        )
        keep = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return subprocess.run(  # noqa: S603 - a list of words of our own, no shell
            [*become, *map(str, words)],
            env={**keep, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can reach what lies in an existing folder."""
        return self.run("test", "-x", folder).returncode == 0

    def make_folder(self, folder: Path) -> None:
        """Makes a folder that only this user (and root) can read; one that exists is left as it is."""
        if folder.is_dir():
            return
        folder.mkdir(mode=0o700)
        self.own(folder)

    def be_let_through(self, home: Path) -> None:
        """A home of root's, which only root reads, may be passed by this user's group: the data lies in it."""
        if self.gid is not None and home.stat().st_uid == os.geteuid():
            os.chown(home, -1, self.gid)
            home.chmod(0o710)

    def own(self, path: Path) -> None:
        """Hands a file or folder that we have just made to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account_for(place: Path) -> Account:
    """The user to run a server at this place: ourselves, or for root the owner of the place, `postgres` or `nobody`.

    Raises ConfigurationError where root finds none.
    """
    if os.geteuid() != 0:
        return Account()
    if place.is_dir() and place.stat().st_uid != 0:
        return Account(place.stat().st_uid, place.stat().st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"PostgreSQL does not run as root and there is no user {' or '.join(CANDIDATES)}: add one."
    )


def make_open_folder(folder: Path) -> None:
    """Makes a folder that everybody can enter, outside of any home; one that exists is left as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
