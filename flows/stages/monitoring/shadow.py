"""The stage `shadow`: compares a challenger with the version that answered, and saves the figures."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from asof.ledger.request_id import new_request_id
from asof.settings import Moment, Settings
from asof.use_case import UseCase
from asof.use_cases import default_name, load
from flows.runtime.environment import settings_with_database
from flows.runtime.steps import step
from monitoring.records.runs import MonitorRun, save_run
from monitoring.shadow.compare import EVER, Comparison, compare, figures
from training.data.snapshots.provenance import actor, code_version
from training.metrics.statistics import share_interval


@step("shadow")
def compare_shadow(use_case: str, version: str | None, since: datetime | None, until: datetime | None) -> Comparison:
    """Compares and saves."""
    settings, problem, begun = settings_with_database(), load(use_case), datetime.now(UTC)
    found = compare(settings, problem, version, since=since or EVER, until=until)
    _save(settings, found, begun)
    return found


def _save(settings: Settings, found: Comparison, begun: datetime) -> None:
    run = MonitorRun(
        run=UUID(new_request_id()),
        use_case=found.use_case,
        kind="shadow",
        started_at=begun,
        known_at=begun,
        first=found.as_of,
        last=found.as_of,
        answers=found.tally.scored + found.tally.failed,
        actor=actor(settings),
        code_version=str(code_version()),
        detail={"challenger": found.challenger, "champion": found.champion},
    )
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        save_run(connection, run, figures(found))


def missing(found: Comparison, problem: UseCase) -> str:
    """What the use case's gate lacks for a promotion, as a clause; empty where that is nothing."""
    least, most, counts = problem.gate.min_shadow_answers, problem.gate.max_shadow_differing, found.tally
    if least is None:
        return ""
    _, high = share_interval(counts.differing, counts.scored)
    parts = [
        f"{least - counts.scored:,} more answers" if counts.scored < least else "",
        "no failure" if counts.failed else "",
        f"at most {most:.2%} other decisions" if most < 1 and high > most else "",
    ]
    return ", ".join(filter(None, parts))


def shadow_result(found: Comparison, lacks: str) -> dict[str, Any]:
    """As JSON data."""
    return {**asdict(found), "lacks": lacks}


def shadow(use_case: str | None = None, version: str | None = None, since: Moment | None = None) -> dict[str, Any]:
    """Compares a challenger with the version that answered."""
    name = use_case or default_name()
    found = compare_shadow(name, version, since, None)
    return shadow_result(found, missing(found, load(name)))
