"""A copy of the project, to which a test may add files, and commands in it."""

import shutil
import subprocess
from pathlib import Path

from asof.settings import PROJECT


def copy_project(folder: Path) -> Path:
    """The project's own files, tracked or new, without environments and data."""
    words = ("ls-files", "--cached", "--others", "--exclude-standard", "-z")
    listed = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


def run(copy: Path, command: str, world: dict[str, str], *, fails: bool = False) -> str:
    """What the command prints on stdout; on stderr where it `fails`, as it must then."""
    done = subprocess.run(command, shell=True, cwd=copy, env=world, capture_output=True, text=True)
    assert (done.returncode != 0) is fails, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stderr if fails else done.stdout
