"""The git commit of this checkout -> CodeVersion: which code made a load, a model or a Bento.

A container has no git: its image was told the version when it was built (deploy/flows/Dockerfile).
"""

import subprocess
from dataclasses import dataclass

from asof.settings import PROJECT

UNKNOWN = "unknown"
TOLD = ".code-version"
"""The file that an image has in place of `.git`."""
DIRTY = "-dirty"


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
        return CodeVersion(_git("rev-parse", "--verify", "HEAD"), dirty=bool(_git("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return _told()


def _told() -> CodeVersion:
    file = PROJECT / TOLD
    told = file.read_text().strip() if file.is_file() and not (PROJECT / ".git").exists() else UNKNOWN + DIRTY
    return CodeVersion(told.removesuffix(DIRTY), dirty=told.endswith(DIRTY))


def _git(*arguments: str) -> str:
    # The repository is named outright: a folder further up, or the GIT_DIR of a hook, is not ours.
    repository = (f"--git-dir={PROJECT / '.git'}", f"--work-tree={PROJECT}")
    command = ["git", "--no-optional-locks", *repository, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()  # noqa: S603
