"""A command of the system -> what it prints."""

import subprocess

SECONDS = 8


def run(*words: str) -> str:
    """What a command prints, stripped; empty where it fails, is absent or takes too long."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
