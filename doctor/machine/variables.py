"""The environment and `.env` -> names that nothing reads, and variables that slow down or mislead our processes."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from asof.settings import Settings
from doctor.finding import Finding, error, note, warning
from doctor.given import Given

SET_FOR_PROCESSES = {"ASOF_STARTED_AS"}
"""Variables that our own processes get, beside the settings."""

FILES_WITH_VARIABLES = ("docker-compose.yml", "Makefile", "prefect.yaml", "feature_repo/feature_store.yaml")
"""Files that name further variables."""

LOOPBACK = ("localhost", "127.0.0.1")


def look_at_variables(given: Given) -> Iterator[Finding]:
    """Every check on variables."""
    known = known_names(given.project)
    yield from unknown_names({".env": given.file, "the environment": given.environment}, known)
    yield from hindrances(given.environment, given.project)
    yield from proxies(given.environment)
    if given.settings.clock:
        yield note("clock-set", f"ASOF_CLOCK is set: the service computes every age as of {given.settings.clock}.")


def known_names(project: Path) -> set[str]:
    """Every name with ASOF_ that something reads."""
    texts = [path.read_text() for name in FILES_WITH_VARIABLES if (path := project / name).is_file()]
    settings = {f"ASOF_{name.upper()}" for name in Settings.model_fields}
    return settings | SET_FOR_PROCESSES | {name for text in texts for name in re.findall(r"\bASOF_[A-Z0-9_]+", text)}


def unknown_names(variables_by_place: Mapping[str, Mapping[str, str]], known: Collection[str]) -> Iterator[Finding]:
    """A name that begins with ASOF_ and is not known, with the nearest known one."""
    for place, variables in variables_by_place.items():
        for name in sorted(name for name in variables if name.upper().startswith("ASOF_")):
            if name.upper() in known:
                continue
            nearest = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.7)
            meant = f"Did you mean {nearest[0]}? " if nearest else ""
            found = f"{name} is set in {place}, and nothing reads it."
            yield warning(f"unknown-variable:{name}", found, f"{meant}.env.example lists every setting.")


def hindrances(environment: Mapping[str, str], project: Path) -> Iterator[Finding]:
    """Python's own variables. `make` takes them out of its commands' environment; a shell's commands have them."""
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        found = "PYTHONDONTWRITEBYTECODE is set: every start takes two to four times as long."
        yield warning("variable:PYTHONDONTWRITEBYTECODE", found, "unset PYTHONDONTWRITEBYTECODE")
    for name in ("PYTHONPATH", "PYTHONHOME"):
        if environment.get(name) not in (None, "", str(project)):
            found = f"{name} is set: packages from elsewhere can take precedence over the locked ones."
            yield warning(f"variable:{name}", found, f"unset {name}")


def proxies(environment: Mapping[str, str]) -> Iterator[Finding]:
    """An HTTP proxy that requests to our own loopback addresses would go to."""
    told = {name.lower(): value for name, value in environment.items() if value}
    proxy = next((name for name in ("http_proxy", "all_proxy") if name in told), None)
    exempt = {each.strip() for each in told.get("no_proxy", "").split(",")}
    if proxy and "*" not in exempt and not exempt.issuperset(LOOPBACK):
        found = (
            f"{proxy.upper()} is set and NO_PROXY does not name loopback: requests to our own servers go to the proxy."
        )
        yield error("proxy", found, f"export NO_PROXY={','.join(LOOPBACK)}  (and the hosts of your own network)")
