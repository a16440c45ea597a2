"""Prefect's server at its address -> answers, below /api, in our version."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from doctor.http import ask, shown


def look_at_prefect(given: Given) -> Iterator[Finding]:
    """Every check on the server."""
    if given.prefect is None:
        yield note(
            "prefect-stopped", "No Prefect server runs: each flow starts a temporary one (ten seconds).", "make up"
        )
        return
    yield from ends_in_api(given.environment.get("PREFECT_API_URL", ""))
    health = ask(given.prefect, "/api/health")
    if health.status != 200:
        yield away(given.prefect, health.trouble or f"status {health.status}", set_by=given.environment)
        return
    told = ask(given.prefect, "/api/admin/version")
    if told.status in (401, 403):
        yield note(
            "prefect-password", "Prefect asks for a password (PREFECT_API_AUTH_STRING): its version was not checked."
        )
        return
    yield from same_version(str(told.body or ""), version("prefect"))


def ends_in_api(url: str) -> Iterator[Finding]:
    """Without `/api` at its end, Prefect's client gets the pages of the UI."""
    if url and not url.rstrip("/").endswith("/api"):
        found = f"PREFECT_API_URL is {shown(url)}, without /api at its end: flows get HTML pages instead of answers."
        yield error("prefect-api", found, f"export PREFECT_API_URL={shown(url).rstrip('/')}/api")


def away(address: str, trouble: str, *, set_by: Mapping[str, str]) -> Finding:
    """Flows that have a server's address do not start a temporary one."""
    if set_by.get("PREFECT_API_URL"):
        mend = "make up, or unset PREFECT_API_URL (flows then start a temporary server)."
    else:
        mend = "make up, or correct --prefect."
    return error("prefect", f"No Prefect server answers at {shown(address)} ({trouble}): flows cannot start.", mend)


def same_version(theirs: str, ours: str) -> Iterator[Finding]:
    """The client of one minor version and the server of another refuse each other's requests."""
    if theirs and theirs.split(".")[:2] != ours.split(".")[:2]:
        found = f"Prefect's server is {theirs}, the client here {ours}."
        yield warning("prefect-version", found, f"Run the server of version {ours}.")
