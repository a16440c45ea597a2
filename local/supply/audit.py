"""The locks of requirements/ -> what the advisory database (OSV) knows against the packages in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import PROJECT
from local.supply.tools import TOOLS, run_tool

UNREACHED = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ServiceError", "NameResolutionError", "SSLError")


class DatabaseAway(ConfigurationError):
    """The advisory database did not answer for each package: nothing is known, which is no good news."""


@dataclass(frozen=True)
class Advisory:
    """Of a package in one lock or several; `fixed` is empty where no version mends it."""

    package: str
    version: str
    advisory: str
    fixed: tuple[str, ...]
    locks: tuple[str, ...]


def locks() -> tuple[Path, ...]:
    """Every lock of the project."""
    return tuple(sorted((PROJECT / "requirements").glob("*.txt")))


def audit(files: Sequence[Path], *, tools: Path = TOOLS) -> tuple[Advisory, ...]:
    """What is known against the locked versions, by package. Raises DatabaseAway, or ConfigurationError for a lock
    that pip-audit cannot read.
    """
    found: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for file in files:
        for known in _of(file, tools):
            found.setdefault(known, []).append(file.name)
    return tuple(Advisory(*known, tuple(names)) for known, names in sorted(found.items()))


def _of(file: Path, tools: Path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    words = ("--requirement", file, "--disable-pip", "--require-hashes", "--vulnerability-service", "osv")
    done = run_tool("pip-audit", *words, "--format", "json", "--progress-spinner", "off", folder=tools)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise _failure(file, done.stderr)
    packages = json.loads(done.stdout)["dependencies"]
    unknown = [each["name"] for each in packages if "skip_reason" in each]
    if unknown:
        raise DatabaseAway(
            f"The advisory database does not know {len(unknown)} packages of {file.name}: {unknown[0]}, ..."
        )
    return [
        (each["name"], each["version"], known["id"], tuple(known["fix_versions"]))
        for each in packages
        for known in each["vulns"]
    ]


def _failure(file: Path, said: str) -> ConfigurationError:
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    if any(name in said for name in UNREACHED):
        return DatabaseAway(f"The advisory database cannot be reached, so nothing is audited: {last}")
    return ConfigurationError(f"pip-audit cannot read {file.name}: {last}")
