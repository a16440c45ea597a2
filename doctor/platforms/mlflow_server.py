"""Checks of MLflow: does the server answer, accept its host name and match our version; is there a registry."""

from collections.abc import Iterator
from importlib.metadata import version

import httpx

from asof.errors import ConfigurationError
from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from doctor.http import get, redacted
from training.tracking.address import PROBE, check_tracking_address
from training.tracking.client import has_registry


def check_mlflow(context: Context) -> Iterator[Finding]:
    """The tracking server that is set, or the UI of `make up`."""
    if context.mlflow:
        yield from check_server(context.mlflow)


def check_tracking(context: Context) -> Iterator[Finding]:
    """MLflow's database, if it is used without a server."""
    uri = context.settings.tracking_uri
    if uri.startswith("http"):
        return
    try:
        check_tracking_address(uri)
    except ConfigurationError as wrong:
        if context.settings.mlflow_tracking_uri:
            yield _unreachable(str(wrong))
            return
    if not has_registry(context.settings):
        name = context.use_cases[0].name if len(context.use_cases) == 1 else "USE_CASE"
        found = "MLflow has no database yet: no model was trained."
        yield note("mlflow-empty", found, f"python -m flows retrain {name}")


def check_server(address: str) -> Iterator[Finding]:
    """A tracking server at an HTTP address."""
    try:
        check_tracking_address(address)
    except ConfigurationError as wrong:
        yield _host_refused(address) if "allowed-hosts" in str(wrong) else _unreachable(str(wrong))
        return
    if get(address, PROBE).status == httpx.codes.UNAUTHORIZED:
        fix = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        yield note("mlflow-password", "MLflow requires a user name and a password.", fix)
    yield from check_version(_version(address), version("mlflow"))


def check_version(server: str, client: str) -> Iterator[Finding]:
    """Whether server and client have the same minor version, as their APIs may differ."""
    if server and server.split(".")[:2] != client.split(".")[:2]:
        found = f"MLflow's server is {server}, the client here {client}."
        fix = f"Run the server with version {client} (and `mlflow db upgrade` on its database)."
        yield warning("mlflow-version", found, fix)


def _host_refused(address: str) -> Finding:
    name = redacted(address).partition("://")[2].partition("/")[0]
    found = f"MLflow at {redacted(address)} refuses this host name (403, Invalid Host header)."
    fix = f"Start it with --allowed-hosts {name} (or MLFLOW_SERVER_ALLOWED_HOSTS={name}), in addition to its others."
    return error("mlflow-allowed-hosts", found, fix)


def _unreachable(message: str) -> Finding:
    sentence, _, rest = message.partition(". Start MLflow")
    return error(
        "mlflow", f"{sentence}.", f"Start MLflow{rest}" if rest else "Correct MLFLOW_TRACKING_URI, or unset it."
    )


def _version(address: str) -> str:
    """The server's version; `/version` answers in plain text whatever the host name."""
    response = get(address, "/version")
    return response.text.strip() if response.status == httpx.codes.OK and len(response.text) < 20 else ""
