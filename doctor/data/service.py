"""The prediction service at its address -> ready, and with the model that is in Production."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from doctor.http import Answer, ask, shown
from training.release.registry.versions import ALIAS, production_number
from training.tracking.client import has_registry


def look_at_service(given: Given) -> Iterator[Finding]:
    """Every check on a service by itself."""
    if given.service is None:
        yield note(
            "service-stopped",
            "The prediction service does not run here.",
            "make up, or docker-compose up -d; or name one that runs elsewhere: --url",
        )
        return
    alive = ask(given.service, "/livez")
    yield from living(given.service, alive)
    if alive.status == 200:
        yield from ready(given.service, ask(given.service, "/readyz"))
        yield from following(ask(given.service, "/model"))


def look_at_served_version(given: Given) -> Iterator[Finding]:
    """What the service answers with beside what the registry has in Production."""
    if given.service is None or not (given.mlflow or given.settings.postgres_url):
        return
    told = ask(given.service, "/model")
    if told.status != 200 or not isinstance(told.body, dict):  # `following` reports it
        return
    name = str(told.body.get("name"))
    yield from served_version(told.body, _of_server(given.mlflow, name) if given.mlflow else _of_database(given, name))


def living(address: str, alive: Answer) -> Iterator[Finding]:
    """Whether anything answers."""
    if alive.status == 0:
        mend = "`make status` and the logs in ASOF_HOME/run, or `docker-compose ps`; correct --url if it is elsewhere."
        yield error("service", f"Nothing answers at {shown(address)}: {alive.trouble}.", mend)
    elif alive.status != 200:
        found = f"{shown(address)}/livez answers {alive.status}: it is not an AsOf service, or it is shutting down."
        yield error("service", found, "`make status`, or correct the address (ASOF_PORT, --url).")


def ready(address: str, answer: Answer) -> Iterator[Finding]:
    """/predict answers with the same problem as /readyz; 503 without one is BentoML's own."""
    if answer.status == 200:
        return
    told = answer.body if isinstance(answer.body, dict) else {}
    detail = told.get("detail") or answer.trouble or "it says no more"
    found = f"{shown(address)} is not ready ({answer.status or 'no answer'}): {detail}"
    yield error("service-not-ready", found, "Look the code up in docs/troubleshooting.md.")


def following(model: Answer) -> Iterator[Finding]:
    """What GET /model says of itself, or that it requires a key."""
    if model.status in (401, 403):
        yield note(
            "service-key", f"GET /model requires an API key ({model.status}): the served version was not checked."
        )
        return
    if model.status != 200 or not isinstance(model.body, dict):
        yield warning(
            "service-model", f"GET /model answers {model.status or 'nothing'}.", "`make status`, and its log."
        )
        return
    told = model.body.get("following") or {"registry": "ok", "refused": []}
    if told["registry"] != "ok":
        found = f"The service follows the registry and cannot reach it: {told['registry']}"
        yield warning("following", found, "Start MLflow, or correct ASOF_REGISTRY_URL of the service.")
    for refusal in told["refused"]:
        if told.get("in_production") == refusal["version"]:
            found = f"Version {refusal['version']} is refused by the service (step {refusal['step']}): {refusal['why']}"
            name = model.body.get("use_case")
            back = f"go back to a version that `python -m flows history {name}` names: "
            mend = f"Train again, or {back}python -m flows rollback {name} --to VERSION; until then it serves another."
            yield error("refused-version", found, mend)


def served_version(model: Mapping[str, Any], in_production: str | None) -> Iterator[Finding]:
    """Another version than the one in Production answers."""
    serves, name = model.get("version"), model.get("name")
    if in_production is None or serves == in_production:
        return
    found = f"The service answers with version {serves} of {name}; in Production is version {in_production}."
    if model.get("following"):
        yield warning("served-version", found, "Wait ASOF_FOLLOW_SECONDS; GET /model shows what it refused, and why.")
    else:
        mend = "`make up` starts one that follows  (in containers: ASOF_FOLLOW=production, or a new image)"
        yield error("served-version", found, mend)


def _of_server(address: str, name: str) -> str | None:
    """The version in Production by MLflow's server; None where it does not answer."""
    query = urlencode({"name": name, "alias": ALIAS})
    told = ask(address, f"/api/2.0/mlflow/registered-models/alias?{query}")
    return str(told.body["model_version"]["version"]) if told.status == 200 and told.body else None


def _of_database(given: Given, name: str) -> str | None:
    if not has_registry(given.settings):
        return None
    from training.tracking.client import open_tracking

    return production_number(open_tracking(given.settings), name)
