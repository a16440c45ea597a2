"""Checks of the Prefect server: does it answer below /api, and match our version."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from doctor.http import get, redacted


def check_prefect(context: Context) -> Iterator[Finding]:
    """The server of PREFECT_API_URL, --prefect or `make up`."""
    if context.prefect is None:
        found = "No Prefect server is running: runs are not recorded."
        yield note("prefect-stopped", found, "make up")
        return
    yield from check_api_path(context.environment.get("PREFECT_API_URL", ""))
    health = get(context.prefect, "/api/health")
    if health.status != 200:
        yield unreachable(context.prefect, health.trouble or f"status {health.status}", set_by=context.environment)
        return
    response = get(context.prefect, "/api/admin/version")
    if response.status in (401, 403):
        found = "Prefect requires a password (PREFECT_API_AUTH_STRING): its version was not checked."
        yield note("prefect-password", found)
        return
    yield from check_version(str(response.body or ""), version("prefect"))


def check_api_path(url: str) -> Iterator[Finding]:
    """Without `/api` at the end, Prefect's client gets the HTML pages of the UI."""
    if url and not url.rstrip("/").endswith("/api"):
        found = f"PREFECT_API_URL is {redacted(url)}, without /api at its end: flows get HTML pages instead of answers."
        yield error("prefect-api", found, f"export PREFECT_API_URL={redacted(url).rstrip('/')}/api")


def unreachable(address: str, reason: str, *, set_by: Mapping[str, str]) -> Finding:
    """Flows with a server's address do not run without it."""
    if set_by.get("PREFECT_API_URL"):
        fix = "make up, or unset PREFECT_API_URL (commands then run without Prefect)."
    else:
        fix = "make up, or correct --prefect."
    return error("prefect", f"No Prefect server answers at {redacted(address)} ({reason}): flows cannot start.", fix)


def check_version(server: str, client: str) -> Iterator[Finding]:
    """Client and server of different minor versions refuse each other's requests."""
    if server and server.split(".")[:2] != client.split(".")[:2]:
        found = f"Prefect's server is {server}, the client here {client}."
        yield warning("prefect-version", found, f"Run the server with version {client}.")
