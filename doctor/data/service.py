"""Checks of the prediction service: is it ready, and does it serve the version in Production."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from doctor.http import Response, get, redacted
from training.release.registry.versions import ALIAS, production_number
from training.tracking.client import has_registry


def check_service(context: Context) -> Iterator[Finding]:
    """Whether each service is up and ready, and what it refused."""
    if not context.services:
        yield note(
            "service-stopped",
            "The prediction service is not running here.",
            "make up, or docker-compose up -d; for a service elsewhere use --url.",
        )
        return
    for address in context.services:
        alive = get(address, "/livez")
        yield from check_alive(address, alive)
        if alive.status == 200:
            yield from check_ready(address, get(address, "/readyz"))
            yield from check_following(get(address, "/model"))


def check_served_version(context: Context) -> Iterator[Finding]:
    """The version that each service answers with against the one in Production."""
    if not (context.mlflow or context.settings.postgres_url):
        return
    for address in context.services:
        model = get(address, "/model")
        if model.status != 200 or not isinstance(model.body, dict):  # `check_following` reports it
            continue
        name, server = str(model.body.get("name")), context.mlflow
        in_production = _version_by_server(server, name) if server else _version_by_database(context, name)
        yield from compare_versions(model.body, in_production)


def check_alive(address: str, alive: Response) -> Iterator[Finding]:
    """Whether the service answers."""
    if alive.status == 0:
        fix = "See `make status` and the logs in ASOF_HOME/run, or `docker-compose ps`; or correct --url."
        yield error("service", f"Nothing answers at {redacted(address)}: {alive.trouble}.", fix)
    elif alive.status != 200:
        found = f"{redacted(address)}/livez answers {alive.status}: not an AsOf service, or shutting down."
        yield error("service", found, "See `make status`, or correct the address (ASOF_PORT, --url).")


def check_ready(address: str, readyz: Response) -> Iterator[Finding]:
    """The problem document of /readyz, which /predict would answer too."""
    if readyz.status == 200:
        return
    problem = readyz.body if isinstance(readyz.body, dict) else {}
    detail = problem.get("detail") or readyz.trouble or "no details"
    found = f"{redacted(address)} is not ready ({readyz.status or 'no answer'}): {detail}"
    yield error("service-not-ready", found, "Look the code up in docs/operations/troubleshooting.md.")


def check_following(model: Response) -> Iterator[Finding]:
    """What GET /model reports about the registry and refused versions."""
    if model.status in (401, 403):
        found = f"GET /model requires an API key ({model.status}): the served version was not checked."
        yield note("service-key", found)
        return
    if model.status != 200 or not isinstance(model.body, dict):
        found = f"GET /model answers {model.status or 'nothing'}."
        yield warning("service-model", found, "See `make status` and the log of the service.")
        return
    following = model.body.get("following") or {"registry": "ok", "refused": []}
    if following["registry"] != "ok":
        found = f"The service cannot reach the registry that it follows: {following['registry']}"
        yield warning("following", found, "Start MLflow, or correct ASOF_REGISTRY_URL of the service.")
    for refusal in following["refused"]:
        if following.get("in_production") == refusal["version"]:
            found = f"The service refused version {refusal['version']} (step {refusal['step']}): {refusal['why']}"
            name = model.body.get("use_case")
            rollback = f"python -m flows rollback {name} --to VERSION (versions: `python -m flows history {name}`)"
            fix = f"Train again, or {rollback}. Until then it serves another version."
            yield error("refused-version", found, fix)


def compare_versions(model: Mapping[str, Any], in_production: str | None) -> Iterator[Finding]:
    """Whether the service answers with the version in Production."""
    serves, name = model.get("version"), model.get("name")
    if in_production is None or serves == in_production:
        return
    found = f"The service answers with version {serves} of {name}; in Production is version {in_production}."
    if model.get("following"):
        yield warning("served-version", found, "Wait ASOF_FOLLOW_SECONDS; GET /model shows what it refused, and why.")
    else:
        fix = "`make up` starts a service that follows the registry  (in containers: ASOF_FOLLOW=production)"
        yield error("served-version", found, fix)


def _version_by_server(address: str, name: str) -> str | None:
    """The version in Production; None if MLflow does not answer."""
    query = urlencode({"name": name, "alias": ALIAS})
    alias = get(address, f"/api/2.0/mlflow/registered-models/alias?{query}")
    return str(alias.body["model_version"]["version"]) if alias.status == 200 and alias.body else None


def _version_by_database(context: Context, name: str) -> str | None:
    if not has_registry(context.settings):
        return None
    from training.tracking.registry_tables import open_registry

    return production_number(open_registry(context.settings), name)
