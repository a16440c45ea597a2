"""The git commit of this checkout -> CodeVersion: which code made a load, a model or a Bento."""

import subprocess
from dataclasses import dataclass

from asof.settings import PROJECT

UNKNOWN = "unknown"


@dataclass(frozen=True)
class CodeVersion:
    """`commit` is the full hash, or `unknown`; `dirty` says that files differ from it, or that nobody can tell."""

    commit: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.commit}-dirty" if self.dirty else self.commit


def code_version() -> CodeVersion:
    """The version of the running code; `unknown` and dirty where there is no git or no repository of our own.

    Files that git neither tracks nor ignores make it dirty too: a new module takes part in what runs.
    """
    try:
        return CodeVersion(_git("rev-parse", "--verify", "HEAD"), dirty=bool(_git("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return CodeVersion(UNKNOWN, dirty=True)


def _git(*arguments: str) -> str:
    # The repository is named outright: a folder further up, or the GIT_DIR of a hook, is not ours.
    repository = (f"--git-dir={PROJECT / '.git'}", f"--work-tree={PROJECT}")
    command = ["git", "--no-optional-locks", *repository, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()  # noqa: S603
