"""The git commit of this checkout -> CodeVersion: which code made a load, a model or a Bento.

A container has no git: its image was told the version when it was built (deploy/flows/Dockerfile).
"""

import getpass
import os
import socket
import subprocess
from dataclasses import dataclass

from asof.model_facts import DIRTY
from asof.settings import PROJECT, Settings

UNKNOWN = "unknown"
TOLD = ".code-version"
"""The file that an image has in place of `.git`."""
STATUS = ("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
"""Everything that differs from the commit, whatever the user's configuration of git leaves out."""


@dataclass(frozen=True)
class CodeVersion:
    """`commit` is the full hash, or `unknown`; `dirty` says that files differ from it, or that nobody can tell."""

    commit: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.commit}{DIRTY}" if self.dirty else self.commit


def code_version() -> CodeVersion:
    """The version of the running code; `unknown` and dirty where there is no git or no repository of our own.

    Files that git neither tracks nor ignores make it dirty too: a new module takes part in what runs.
    """
    try:
        return CodeVersion(_git("rev-parse", "--verify", "HEAD"), dirty=bool(_git(*STATUS)))
    except (OSError, subprocess.SubprocessError):
        return _told()


def _told() -> CodeVersion:
    file = PROJECT / TOLD
    told = file.read_text().strip() if file.is_file() and not (PROJECT / ".git").exists() else ""
    commit = told.removesuffix(DIRTY) or UNKNOWN
    return CodeVersion(commit, dirty=told.endswith(DIRTY) or commit == UNKNOWN)


def _git(*arguments: str) -> str:
    # The repository is named outright: a folder further up, or what GIT_DIR and the like name in a hook, is not ours.
    repository = (f"--git-dir={PROJECT / '.git'}", f"--work-tree={PROJECT}")
    command = ["git", "--no-optional-locks", *repository, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    return done.stdout.strip()


def actor(settings: Settings) -> str:
    """Who acts, for the history: as set, or else the user of the system and the host."""
    if settings.actor:
        return settings.actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
