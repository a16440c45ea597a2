"""Checks of the environment and `.env`: unknown names, and variables that slow down or break our processes."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from asof.settings import SOURCE_URL, Settings
from doctor.context import Context
from doctor.finding import Finding, error, note, warning

SET_FOR_PROCESSES = {"ASOF_STARTED_AS"}
"""Variables that our own processes get in addition to the settings."""

FILES_WITH_VARIABLES = ("docker-compose.yml", "Makefile", "prefect.yaml", "feature_repo/feature_store.yaml")
"""Files that read further variables."""

LOOPBACK = ("localhost", "127.0.0.1")


def check_variables(context: Context) -> Iterator[Finding]:
    """Unknown names, Python's own variables, proxies and a fixed clock."""
    known = known_names(context.project)
    yield from check_names({".env": context.file, "the environment": context.environment}, known)
    yield from check_python_variables(context.environment, context.project)
    yield from check_proxy(context.environment)
    if context.settings.clock:
        yield note("clock-set", f"ASOF_CLOCK is set: the service computes feature ages as of {context.settings.clock}.")


def known_names(project: Path) -> set[str]:
    """Every ASOF_ name that a setting or file uses."""
    texts = [path.read_text() for name in FILES_WITH_VARIABLES if (path := project / name).is_file()]
    settings = {f"ASOF_{name.upper()}" for name in Settings.model_fields}
    return settings | SET_FOR_PROCESSES | {name for text in texts for name in re.findall(r"\bASOF_[A-Z0-9_]+", text)}


def check_names(variables_by_place: Mapping[str, Mapping[str, str]], known: Collection[str]) -> Iterator[Finding]:
    """ASOF_ names that nothing reads, with the most similar known name."""
    for place, variables in variables_by_place.items():
        for name in sorted(name for name in variables if name.upper().startswith("ASOF_")):
            if name.upper() in known or name.upper().startswith(f"{SOURCE_URL}_"):
                continue
            nearest = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.7)
            meant = f"Did you mean {nearest[0]}? " if nearest else ""
            found = f"{name} is set in {place}, and nothing reads it."
            yield warning(f"unknown-variable:{name}", found, f"{meant}.env.example lists every setting.")


def check_python_variables(environment: Mapping[str, str], project: Path) -> Iterator[Finding]:
    """Python's own variables; `make` unsets them, but commands from a shell get them."""
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        found = "PYTHONDONTWRITEBYTECODE is set: every start takes two to four times as long."
        yield warning("variable:PYTHONDONTWRITEBYTECODE", found, "unset PYTHONDONTWRITEBYTECODE")
    for name in ("PYTHONPATH", "PYTHONHOME"):
        if environment.get(name) not in (None, "", str(project)):
            found = f"{name} is set: packages from elsewhere can take precedence over the locked ones."
            yield warning(f"variable:{name}", found, f"unset {name}")


def check_proxy(environment: Mapping[str, str]) -> Iterator[Finding]:
    """An HTTP proxy that would receive requests to loopback addresses."""
    variables = {name.lower(): value for name, value in environment.items() if value}
    proxy = next((name for name in ("http_proxy", "all_proxy") if name in variables), None)
    exempt = {each.strip() for each in variables.get("no_proxy", "").split(",")}
    if proxy and "*" not in exempt and not exempt.issuperset(LOOPBACK):
        found = f"{proxy.upper()} is set without loopback in NO_PROXY: requests to our own servers go to the proxy."
        yield error("proxy", found, f"export NO_PROXY={','.join(LOOPBACK)}  (and the hosts of your own network)")
