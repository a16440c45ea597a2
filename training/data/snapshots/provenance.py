"""Which code made a load, a model or a Bento, and who ran it.

A container has no git: its image holds the version in a file (deploy/flows/Dockerfile).
"""

import getpass
import os
import socket
import subprocess
from dataclasses import dataclass

from asof.model_facts import DIRTY
from asof.settings import PROJECT, Settings

UNKNOWN = "unknown"
VERSION_FILE = ".code-version"
"""What an image has in place of `.git`."""
GIT_STATUS = ("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
"""Everything that differs from the commit, whatever the user's git configuration leaves out."""


@dataclass(frozen=True)
class CodeVersion:
    """`commit` is the full hash, or `unknown`; `dirty`: files differ from it, or that cannot be known."""

    commit: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.commit}{DIRTY}" if self.dirty else self.commit


def code_version() -> CodeVersion:
    """The version of the running code; `unknown` and dirty without git or a repository of our own.

    Untracked files make it dirty too, since a new module may be part of what runs.
    """
    try:
        return CodeVersion(_git("rev-parse", "--verify", "HEAD"), dirty=bool(_git(*GIT_STATUS)))
    except (OSError, subprocess.SubprocessError):
        return _version_from_file()


def _version_from_file() -> CodeVersion:
    file = PROJECT / VERSION_FILE
    version = file.read_text().strip() if file.is_file() and not (PROJECT / ".git").exists() else ""
    commit = version.removesuffix(DIRTY) or UNKNOWN
    return CodeVersion(commit, dirty=version.endswith(DIRTY) or commit == UNKNOWN)


def _git(*arguments: str) -> str:
    # Explicit, since a repository further up, or that of GIT_DIR in a hook, is not ours.
    repository = (f"--git-dir={PROJECT / '.git'}", f"--work-tree={PROJECT}")
    command = ["git", "--no-optional-locks", *repository, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    return done.stdout.strip()


def actor(settings: Settings) -> str:
    """The actor recorded in the history: ASOF_ACTOR, or else the system's user@host."""
    if settings.actor:
        return settings.actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
