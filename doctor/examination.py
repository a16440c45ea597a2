"""Runs every check and sorts the findings by severity. An exception in a check becomes a finding."""

import warnings
from collections.abc import Callable, Iterable

from doctor.context import Context
from doctor.data.definitions import check_definitions
from doctor.data.ledger import check_partitions, check_spool
from doctor.data.loads import check_loads
from doctor.data.parity import check_parity
from doctor.data.production import check_production
from doctor.data.service import check_served_version, check_service
from doctor.finding import Finding, warning
from doctor.machine.docker import check_docker
from doctor.machine.keys import check_api_keys, check_keys
from doctor.machine.variables import check_variables
from doctor.platforms.database import check_connection, check_database, check_grants
from doctor.platforms.feast_file import check_feast_file
from doctor.platforms.leftovers import check_leftovers, check_prefects_database, check_prefects_file
from doctor.platforms.mlflow_server import check_mlflow, check_tracking
from doctor.platforms.prefect_server import check_prefect
from doctor.platforms.replicas import check_replicas

Check = Callable[[Context], Iterable[Finding]]
Progress = Callable[[str], object]

INDEPENDENT: dict[str, Check] = {
    "variables": check_variables,
    "keys": check_keys,
    "API keys": check_api_keys,
    "feature_store.yaml": check_feast_file,
    "Docker": check_docker,
    "the prediction service": check_service,
    "the ledger's spool": check_spool,
    "MLflow": check_mlflow,
    "Prefect": check_prefect,
    "Prefect's file": check_prefects_file,
}
CONNECTION: dict[str, Check] = {"PostgreSQL": check_connection}
ON_POSTGRES: dict[str, Check] = {
    "the database": check_database,
    "roles and grants": check_grants,
    "the read replicas": check_replicas,
    "what is left behind": check_leftovers,
    "Prefect's database": check_prefects_database,
    "loads and the online store": check_loads,
    "the parity ledger": check_parity,
    "the ledger's database": check_partitions,
    "feature definitions": check_definitions,
}
TRACKING: dict[str, Check] = {"MLflow's database": check_tracking}
ON_REGISTRY: dict[str, Check] = {"versions in Production": check_production}
SERVED: dict[str, Check] = {"the version that is served": check_served_version}


def examine(context: Context, progress: Progress = lambda _: None) -> list[Finding]:
    """Runs all checks whose server can be reached; calls `progress` with the title of each."""

    def run(checks: dict[str, Check]) -> list[Finding]:
        return [finding for title, check in checks.items() for finding in _run(title, check, context, progress)]

    findings = [*context.wrong, *run(INDEPENDENT)]
    refused = run(CONNECTION)
    findings += refused or run(ON_POSTGRES)
    if not refused or context.settings.mlflow_tracking_uri:
        findings += run(TRACKING)
    if not refused:
        findings += run(ON_REGISTRY)
    findings += run(SERVED)
    return sorted(findings, key=lambda each: each.severity.rank)


def _run(title: str, check: Check, context: Context, progress: Progress) -> list[Finding]:
    progress(title)
    findings: list[Finding] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            findings.extend(check(context))
    except Exception as wrong:  # the other checks must still run
        findings.append(check_failed(title, wrong))
    return findings


def check_failed(title: str, wrong: Exception) -> Finding:
    """The finding for an exception in a check. It quotes the first line only, as later ones may contain data."""
    line = next(iter(str(wrong).splitlines()), "")
    shown = f"{type(wrong).__name__}{f': {line}' if line and '://' not in line else ''}"
    fix = "Fix the other findings first. If this one stays, report it as a bug of the doctor."
    return warning(f"could-not-look:{title}", f"The check of {title} failed: {shown}", fix)
