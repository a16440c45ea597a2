"""Prefect's server at its address -> answers, in our version, by our clock; runs that hang and schedules that pause."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from doctor.clocks import clocks_apart
from doctor.finding import Finding, error, listed, note, warning
from doctor.given import Given
from doctor.http import ask, shown

LONG = timedelta(hours=12)
"""A run of ours takes minutes: one that is RUNNING for longer has lost its process, and may hold its pool's slot."""


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
    if health.clock is not None:
        yield from clocks_apart("Prefect", health.clock)
    told = ask(given.prefect, "/api/admin/version")
    if told.status in (401, 403):
        yield note(
            "prefect-password", "Prefect asks for a password (PREFECT_API_AUTH_STRING): its runs were not looked at."
        )
        return
    yield from same_version(str(told.body or ""), version("prefect"))
    yield from _work(given.prefect)


def ends_in_api(url: str) -> Iterator[Finding]:
    """Prefect's client asks below what it is told, and gets the pages of the UI where `/api` is left out."""
    if url and not url.rstrip("/").endswith("/api"):
        found = f"PREFECT_API_URL is {shown(url)}, without /api at its end: flows get pages for answers."
        yield error("prefect-api", found, f"export PREFECT_API_URL={shown(url).rstrip('/')}/api")


def away(address: str, trouble: str, *, set_by: Mapping[str, str]) -> Finding:
    """Flows that are told of a server do not start a temporary one."""
    if set_by.get("PREFECT_API_URL"):
        mend = "make up, or unset PREFECT_API_URL (flows then start a temporary server)."
    else:
        mend = "make up, or correct --prefect."
    return error("prefect", f"Nothing of Prefect's answers at {shown(address)} ({trouble}): flows cannot start.", mend)


def same_version(theirs: str, ours: str) -> Iterator[Finding]:
    """The client of one minor version and the server of another refuse each other's requests."""
    if theirs and theirs.split(".")[:2] != ours.split(".")[:2]:
        found = f"Prefect's server is {theirs}, the client here {ours}."
        yield warning("prefect-version", found, f"Run the server of version {ours}.")


def hanging(runs: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[Finding]:
    """Runs whose process is gone."""
    long = [each for each in runs if each.get("start_time") and now - _moment(each["start_time"]) > LONG]
    if long:
        found = (
            f"Runs have been RUNNING for over {LONG // timedelta(hours=1)} hours: {listed([r['name'] for r in long])}."
        )
        yield warning(
            "hanging-runs", found, f"prefect flow-run cancel {long[0].get('id')}  (they hold their pool's slots)"
        )


def paused(deployments: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """`serve()` pauses schedules when it ends, unless it is told not to."""
    if names := [each["name"] for each in deployments if each.get("paused")]:
        yield note("paused", f"Deployments are paused: {listed(names)}.", f"prefect deployment resume FLOW/{names[0]}")


def _work(address: str) -> Iterator[Finding]:
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "limit": 200}
    runs = ask(address, "/api/flow_runs/filter", body=running)
    deployments = ask(address, "/api/deployments/filter", body={"limit": 200})
    yield from hanging(runs.body if runs.status == 200 else [], datetime.now(UTC))
    yield from paused(deployments.body if deployments.status == 200 else [])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
