"""The environment and `.env` -> names that nobody reads, and variables that make everything slow or lead it astray."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from asof.settings import Settings
from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from doctor.published import readable, variables_of

TOLD_TO_PROCESSES = {
    "ASOF_STARTED_AS",
}
"""Set by us for processes of ours, beside the settings."""

SPEAKERS = ("docker-compose.yml", "Makefile", "prefect.yaml", "feature_repo/feature_store.yaml")
"""Files that may name variables of their own."""

LOOPBACK = ("localhost", "127.0.0.1")


def look_at_variables(given: Given) -> Iterator[Finding]:
    """Every check on variables."""
    known = known_names(given.project)
    yield from readable(given.project / ".env")
    yield from unknown_names({".env": given.file, "the environment": given.environment}, known)
    yield from hindrances(given.environment, given.project)
    yield from proxies(given.environment)
    yield from absent_file(given.environment)
    yield from overruled(given.file, given.environment)
    yield from another_file(given.project, Path.cwd())
    if given.settings.clock:
        yield note(
            "clock-set", f"ASOF_CLOCK is set: the service judges every age as if it were {given.settings.clock}."
        )


def known_names(project: Path) -> set[str]:
    """Every name with ASOF_ that something reads."""
    texts = [path.read_text() for name in SPEAKERS if (path := project / name).is_file()]
    settings = {f"ASOF_{name.upper()}" for name in Settings.model_fields}
    return settings | TOLD_TO_PROCESSES | {name for text in texts for name in re.findall(r"\bASOF_[A-Z0-9_]+", text)}


def unknown_names(told: Mapping[str, Mapping[str, str]], known: Collection[str]) -> Iterator[Finding]:
    """A name that begins with ASOF_ and means nothing; the nearest one that does."""
    for place, variables in told.items():
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
            found = f"{name} is set: packages of another place can come before those of the lock."
            yield warning(f"variable:{name}", found, f"unset {name}")


def proxies(environment: Mapping[str, str]) -> Iterator[Finding]:
    """A proxy for HTTP that our own addresses on loopback would be sent to."""
    told = {name.lower(): value for name, value in environment.items() if value}
    proxy = next((name for name in ("http_proxy", "all_proxy") if name in told), None)
    exempt = {each.strip() for each in told.get("no_proxy", "").split(",")}
    if proxy and "*" not in exempt and not exempt.issuperset(LOOPBACK):
        found = (
            f"{proxy.upper()} is set and NO_PROXY does not name loopback: requests to our own servers go to the proxy."
        )
        yield error("proxy", found, f"export NO_PROXY={','.join(LOOPBACK)}  (and the hosts of your own network)")


def absent_file(environment: Mapping[str, str]) -> Iterator[Finding]:
    """BentoML does not start with a configuration that is not there."""
    told = environment.get("BENTOML_CONFIG")
    if told and not Path(told).is_file():
        yield error(
            "variable:BENTOML_CONFIG", f"BENTOML_CONFIG names {told}, which is no file.", "unset BENTOML_CONFIG"
        )


def overruled(file: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Finding]:
    """What `.env` says in vain."""
    for name in sorted(file):
        if name in environment and file[name] and environment[name] != file[name]:
            yield note(
                f"overruled:{name}", f"{name} is set in the environment and otherwise in .env: the former counts."
            )


def another_file(project: Path, here: Path) -> Iterator[Finding]:
    """A `.env` in the folder of the command, which nobody reads."""
    other = here / ".env"
    if here != project and other.is_file() and any(name.startswith("ASOF_") for name in variables_of(other)):
        yield note("other-env-file", f"{other} is not read: settings come from variables and from {project / '.env'}.")
