"""Virtual environments in .asof/peers, made at first use: the pinned packages of NAME.txt above the project's own.

`python -m benchmarks.environments.making NAME MODULE ARGUMENT...` runs a module in one, in this process.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import PROJECT

FOLDER, PINS = PROJECT / ".asof" / "peers", Path(__file__).parent
MODULE = "benchmarks.environments.making"
MARK = "complete"


def python_of(name: str) -> Path:
    """The interpreter of the environment. Raises ConfigurationError where the package index does not answer."""
    folder, pins = FOLDER / name, PINS / f"{name}.txt"
    mark = folder / MARK
    if not mark.is_file() or mark.read_text() != pins.read_text():
        _make(folder, pins)
        shutil.copy(pins, mark)
    return folder / "bin" / "python"


def _make(folder: Path, pins: Path) -> None:
    """The project's packages come last in the path, so that those of the environment take precedence."""
    venv.create(folder, clear=True)
    python, locked = str(folder / "bin" / "python"), sysconfig.get_path("purelib")
    (own,) = folder.glob("lib/*/site-packages")
    (own / "zz_lock.pth").write_text(f"{locked}\n")
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(pins))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, *install], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ConfigurationError(f"pip could not install {pins.name} ({''.join(last)}): check the package index.")


def main(name: str, module: str, *arguments: str) -> None:
    python = str(python_of(name))
    os.execv(python, [python, "-m", module, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
