"""MLflow -> does it answer, under the host name in use, in our version; and does its database have a registry."""

from collections.abc import Iterator
from importlib.metadata import version

import httpx

from asof.errors import ConfigurationError
from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from doctor.http import ask, shown
from training.tracking.address import PROBE, check_tracking_address
from training.tracking.client import has_registry


def look_at_mlflow(given: Given) -> Iterator[Finding]:
    """Every check on a server: the one that is set or given, or the UI of `make up`."""
    if given.mlflow:
        yield from served(given.mlflow)


def look_at_tracking(given: Given) -> Iterator[Finding]:
    """Every check on MLflow's database, where it is used without a server."""
    uri = given.settings.tracking_uri
    if uri.startswith("http"):
        return
    try:
        check_tracking_address(uri)
    except ConfigurationError as wrong:
        if given.settings.mlflow_tracking_uri:
            yield _away(str(wrong))
            return
    if not has_registry(given.settings):
        yield note("mlflow-empty", "MLflow has no database yet: nothing was trained.", "python -m flows retrain churn")


def served(address: str) -> Iterator[Finding]:
    """A server at an address of HTTP."""
    try:
        check_tracking_address(address)
    except ConfigurationError as wrong:
        yield _hosts(address) if "allowed-hosts" in str(wrong) else _away(str(wrong))
        return
    if ask(address, PROBE).status == httpx.codes.UNAUTHORIZED:
        yield note(
            "mlflow-password", "MLflow asks for a user and a password.", "MLFLOW_TRACKING_USERNAME, ..._PASSWORD"
        )
    yield from same_version(_version(address), version("mlflow"))


def same_version(theirs: str, ours: str) -> Iterator[Finding]:
    """Clients of another minor version may not find what they ask for."""
    if theirs and theirs.split(".")[:2] != ours.split(".")[:2]:
        found = f"MLflow's server is {theirs}, the client here {ours}."
        yield warning(
            "mlflow-version", found, f"Run the server of version {ours} (and `mlflow db upgrade` on its database)."
        )


def _hosts(address: str) -> Finding:
    name = shown(address).partition("://")[2].partition("/")[0]
    found = (
        f"MLflow at {shown(address)} refuses this name for it (403, Invalid Host header), though its /health answers."
    )
    mend = f"Start it with --allowed-hosts {name} (or MLFLOW_SERVER_ALLOWED_HOSTS={name}), beside those it has."
    return error("mlflow-allowed-hosts", found, mend)


def _away(told: str) -> Finding:
    sentence, _, rest = told.partition(". Start MLflow")
    return error(
        "mlflow", f"{sentence}.", f"Start MLflow{rest}" if rest else "Correct MLFLOW_TRACKING_URI, or unset it."
    )


def _version(address: str) -> str:
    """`/version` answers in plain text, to every name."""
    told = ask(address, "/version")
    return told.text.strip() if told.status == httpx.codes.OK and len(told.text) < 20 else ""
