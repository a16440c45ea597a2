"""requirements/serve.txt and the installed packages -> the CycloneDX bill of materials of the prediction image.

The image installs just what the lock names, so what is installed here of the same lock says the rest: licences,
addresses, who needs whom. A package that this platform does not install is in neither.
"""

import csv
import json
import re
import sys
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from asof.errors import ConfigurationError
from local.supply.licences import Licence, licences
from local.supply.tools import LOCK, TOOLS, run_tool

Bom = dict[str, Any]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def make_sbom(lock: Path = LOCK, *, python: str = sys.executable, tools: Path = TOOLS) -> Bom:
    """The bill of materials as a document of CycloneDX 1.6.

    Raises ConfigurationError where the tool fails, or where what is installed is not what the lock names.
    """
    done = run_tool("cyclonedx-py", "environment", python, "--output-reproducible", "--no-validate", folder=tools)
    if done.returncode:
        raise ConfigurationError(f"cyclonedx-py failed: {done.stderr.strip().splitlines()[-1:]}")
    return only_locked(json.loads(done.stdout), locked(lock))


def write_sbom(folder: Path) -> tuple[Licence, ...]:
    """Writes sbom.cdx.json and licences.csv into the folder, and returns what is in the latter."""
    bom = make_sbom()
    found = licences(bom)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sbom.cdx.json").write_text(json.dumps(bom, indent=2) + "\n")
    with (folder / "licences.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in fields(Licence)])
        rows.writerows(map(astuple, found))
    return found


def locked(lock: Path) -> dict[str, set[str]]:
    """The versions of each package; more than one where they depend on the version of Python."""
    found: dict[str, set[str]] = {}
    for name, version in PINNED.findall(lock.read_text()):
        found.setdefault(normal(name), set()).add(version)
    return found


def normal(name: str) -> str:
    """As PEP 503 writes a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def only_locked(bom: Bom, lock: dict[str, set[str]]) -> Bom:
    """The document without what the lock does not name. Raises ConfigurationError where a version is another."""
    kept = [each for each in bom["components"] if normal(each["name"]) in lock]
    wrong = [f"{each['name']} {each['version']}" for each in kept if each["version"] not in lock[normal(each["name"])]]
    if wrong:
        raise ConfigurationError(f"Installed are other versions than locked: {', '.join(wrong)}. Run `make setup`.")
    refs = {each["bom-ref"] for each in kept}
    return {
        **bom,
        "metadata": {**bom["metadata"], "component": {"type": "container", "name": "asof-prediction"}},
        "components": kept,
        "dependencies": [
            {**each, **({"dependsOn": sorted(refs & set(each["dependsOn"]))} if "dependsOn" in each else {})}
            for each in bom["dependencies"]
            if each["ref"] in refs
        ],
    }
