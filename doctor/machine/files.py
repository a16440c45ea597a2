"""Files that hold secrets -> who else can read them; and whether git would give them away."""

import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from asof.settings import Settings
from doctor.finding import Finding, error
from doctor.given import Given
from local.embedded_postgres.cluster import PASSWORD_FILE

SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "KEY", "AUTH")
NO_SECRETS = {"ASOF_TRUSTED_KEYS", "ASOF_SIGNING_KEY", "ASOF_API_KEYS"}
"""Public keys, and paths: the files behind them are looked at themselves."""


@dataclass(frozen=True)
class Secret:
    """A file with a secret: its permission bits, and whether git has it."""

    path: Path
    mode: int
    tracked: bool


def look_at_files(given: Given) -> Iterator[Finding]:
    """Every check on files."""
    for path in secret_files(given.settings, given.project, given.file):
        yield from exposed(Secret(path, path.stat().st_mode, _is_tracked(path, given.project)))


def secret_files(settings: Settings, project: Path, variables: Mapping[str, str]) -> list[Path]:
    """The files that are there; `.env` only where one of its values is a secret."""
    candidates = [settings.home / PASSWORD_FILE, settings.signing_key or settings.home / "keys" / "signing.pem"]
    if any(is_secret(name, value) for name, value in variables.items()):
        candidates.insert(0, project / ".env")
    return [path for path in candidates if path.is_file()]


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: by its name, or as an address with a password."""
    named = any(word in name.upper() for word in SECRET_WORDS) and name.upper() not in NO_SECRETS
    return bool(value) and (named or ("://" in value and "@" in value))


def exposed(secret: Secret) -> Iterator[Finding]:
    """A secret that others can read."""
    if secret.mode & (stat.S_IRWXG | stat.S_IRWXO):
        found = f"{secret.path} holds a secret, and others can read it (mode {stat.S_IMODE(secret.mode):o})."
        yield error(f"readable:{secret.path.name}", found, f"chmod 600 {secret.path}")
    if secret.tracked:
        found = f"{secret.path} holds a secret, and git has it: whoever gets the repository gets the secret."
        mend = f"git rm --cached {secret.path}, commit, and replace the secret: it stays in the history."
        yield error(f"tracked:{secret.path.name}", found, mend)


def _is_tracked(path: Path, project: Path) -> bool:
    words = ["git", "-C", str(project), "ls-files", "--error-unmatch", str(path)]
    try:
        return subprocess.run(words, capture_output=True, timeout=5, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):  # no git: nothing is tracked by it
        return False
