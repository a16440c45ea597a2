"""Every check, in order -> Findings, the most severe first. A check that fails itself is a finding, never a crash."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from doctor.data.definitions import look_at_definitions
from doctor.data.loads import look_at_loads
from doctor.data.parity import look_at_parity
from doctor.data.production import look_at_production
from doctor.data.service import look_at_served_version, look_at_service
from doctor.finding import Finding, warning
from doctor.given import Given
from doctor.machine.docker import look_at_docker
from doctor.machine.keys import look_at_api_keys, look_at_keys
from doctor.machine.variables import look_at_variables
from doctor.platforms.database import look_at_connection, look_at_database, look_at_grants
from doctor.platforms.feast_file import look_at_feast_file
from doctor.platforms.leftovers import look_at_leftovers, look_at_prefects_database, look_at_prefects_file
from doctor.platforms.mlflow_server import look_at_mlflow, look_at_tracking
from doctor.platforms.prefect_server import look_at_prefect

Look = Callable[[Given], Iterable[Finding]]
Say = Callable[[str], object]

BY_ITSELF: dict[str, Look] = {
    "variables": look_at_variables,
    "keys": look_at_keys,
    "API keys": look_at_api_keys,
    "feature_store.yaml": look_at_feast_file,
    "Docker": look_at_docker,
    "the prediction service": look_at_service,
    "MLflow": look_at_mlflow,
    "Prefect": look_at_prefect,
    "Prefect's file": look_at_prefects_file,
}
CONNECTION: dict[str, Look] = {"PostgreSQL": look_at_connection}
ON_POSTGRES: dict[str, Look] = {
    "the database": look_at_database,
    "roles and grants": look_at_grants,
    "what is left behind": look_at_leftovers,
    "Prefect's database": look_at_prefects_database,
    "loads and the online store": look_at_loads,
    "the parity ledger": look_at_parity,
    "feature definitions": look_at_definitions,
}
TRACKING: dict[str, Look] = {"MLflow's database": look_at_tracking}
ON_REGISTRY: dict[str, Look] = {
    "versions in Production": look_at_production,
}
SERVED: dict[str, Look] = {"the version that is served": look_at_served_version}


def examine(given: Given, say: Say = lambda _: None) -> list[Finding]:
    """Checks everything that can be reached. `say` gets the title of each check."""
    found = [*given.wrong, *_looked(BY_ITSELF, given, say)]
    entrance = list(_looked(CONNECTION, given, say))
    found += entrance
    if not entrance:
        found += _looked(ON_POSTGRES, given, say)
    if not entrance or given.settings.mlflow_tracking_uri:
        found += _looked(TRACKING, given, say)
    if not entrance:
        found += _looked(ON_REGISTRY, given, say)
    found += _looked(SERVED, given, say)
    return sorted(found, key=lambda each: each.severity.rank)


def _looked(checks: dict[str, Look], given: Given, say: Say) -> Iterator[Finding]:
    return chain.from_iterable(_look(title, look, given, say) for title, look in checks.items())


def _look(title: str, look: Look, given: Given, say: Say) -> list[Finding]:
    say(title)
    found: list[Finding] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.extend(look(given))
    except Exception as trouble:  # the other checks must still run
        found.append(could_not_look(title, trouble))
    return found


def could_not_look(title: str, trouble: Exception) -> Finding:
    """A check that failed itself; the first line of its error only, as a later one may quote data."""
    said = next(iter(str(trouble).splitlines()), "")
    told = f"{type(trouble).__name__}{f': {said}' if said and '://' not in said else ''}"
    mend = "Fix the other findings first. If this one stays, report it as a bug of the doctor."
    return warning(f"could-not-look:{title}", f"The check of {title} failed: {told}", mend)
