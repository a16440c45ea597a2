"""What is installed beside what the project pins and locks; and the Python that runs it."""

import platform
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from doctor.finding import Finding, error, listed, warning
from doctor.given import Given

AGAIN = "rm -f .venv/.complete && make setup"
REASONS = {"fastapi": "Prefect dies at its start with a newer one, and answers 422 to `prefect deploy`"}
"""What a broken pin does, where nobody would guess it."""


def look_at_packages(given: Given) -> Iterator[Finding]:
    """Every check on packages."""
    project = tomllib.loads((given.project / "pyproject.toml").read_text())["project"]
    here, prefix = installed(), Path(sys.prefix)
    yield from python_fits(platform.python_version(), project["requires-python"])
    yield from of_the_project(given.project, prefix)
    lock = locked(lock_of(given.project).read_text())
    pins = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]])
    broken = list(broken_pins([pin for pin in pins if canonicalize_name(pin.name) in lock], here))
    yield from broken
    told = {each.name.partition(":")[2] for each in broken}
    yield from beside_lock({name: version for name, version in lock.items() if name not in told}, here)


def lock_of(project: Path) -> Path:
    """The lock of this environment: the image of the flows has no .venv in the project, and no packages of tests."""
    flows, dev = project / "requirements" / "flows.txt", project / "requirements" / "dev.txt"
    return flows if flows.is_file() and not (project / ".venv").exists() else dev


def installed() -> dict[str, str]:
    """Every distribution that this Python can import, with its version."""
    return {canonicalize_name(each.name): each.version for each in distributions()}


def locked(text: str) -> dict[str, str]:
    """A lock -> name and version of each package that belongs to this Python and system."""
    lines = [line.removesuffix("\\").strip() for line in text.splitlines() if "==" in line and line[0].isalnum()]
    wanted = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in wanted}


def python_fits(version: str, wanted: str) -> Iterator[Finding]:
    """Python itself."""
    if version not in SpecifierSet(wanted):
        mend = f"rm -rf .venv && make setup PYTHON=/path/to/python3.12  (or another one that is {wanted})"
        yield error("python", f"This is Python {version}; the project takes {wanted}.", mend)


def of_the_project(project: Path, prefix: Path) -> Iterator[Finding]:
    """Whether it is the environment that `make` uses."""
    own = project / ".venv"
    if own.exists() and prefix.resolve() != own.resolve():
        found = f"This Python is of {prefix}, not of the project's .venv: what follows is said of that one."
        yield warning("environment", found, "Run `make doctor`, or .venv/bin/python -m flows doctor.")


def broken_pins(pins: Iterable[Requirement], here: Mapping[str, str]) -> Iterator[Finding]:
    """A package that pyproject.toml names, absent or of a version that it rules out."""
    for pin in pins:
        name = canonicalize_name(pin.name)
        version = here.get(name)
        if version is None:
            yield error(f"package:{name}", f"{name} is not installed.", AGAIN)
        elif not pin.specifier.contains(version, prereleases=True):
            why = f": {REASONS[name]}" if name in REASONS else ""
            yield error(
                f"package:{name}", f"{name} {version} is installed; the project takes {pin.specifier}{why}.", AGAIN
            )


def beside_lock(lock: Mapping[str, str], here: Mapping[str, str]) -> Iterator[Finding]:
    """What requirements/dev.txt has otherwise: told together, for one command mends all of it."""
    if missing := sorted(lock.keys() - here.keys()):
        yield error("lock-missing", f"Locked, and not installed: {listed(missing)}.", AGAIN)
    other = [
        f"{name} {here[name]} (not {lock[name]})"
        for name in sorted(lock.keys() & here.keys())
        if here[name] != lock[name]
    ]
    if other:
        yield warning("lock-other", f"Installed in another version than locked: {listed(other)}.", AGAIN)
