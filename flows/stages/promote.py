"""The stage `promote`: a registered version -> Production, through the gate."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from asof.use_cases import load
from flows.lineage.datasets import of_promote
from flows.lineage.emitting import emits_lineage
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.release.promotion.promote import Promotion
from training.release.promotion.promote import promote as pass_gate
from training.release.registry.versions import ModelVersion, model_version
from training.targets.rules import Criterion


@step("promote")
def promote_version(use_case: str, version: str, known_at: datetime | None = None, dry_run: bool = False) -> Promotion:
    """Promotes the version if it passes the gate on the data known at `known_at` (default: now)."""
    settings, problem = settings_with_database(), load(use_case)
    challenger = model_version(settings, problem, version)

    def judge(champion: ModelVersion | None) -> tuple[Criterion, ...]:
        from training.release.gate.judge import judge_of  # imports pandas and scipy

        return judge_of(settings, problem, challenger, known_at=known_at)(champion)

    log.info("judging version %s", version)
    outcome = pass_gate(settings, challenger, judge=judge, dry_run=dry_run)
    _publish(outcome, dry_run=dry_run)
    return outcome


def _publish(outcome: Promotion, *, dry_run: bool) -> None:
    """The criteria, each with its reason before its figures."""
    rows = [
        {"criterion": each.name, "passed": each.passed, "reason": each.reason, "figures": each.figures}
        for each in outcome.criteria
    ]
    verdict = "judged only" if dry_run else "promoted" if outcome.promoted else "not promoted"
    publish_table("promotion", rows, f"{outcome.name} version {outcome.version}: {verdict}")


@emits_lineage("promote", of_promote)
def promote(use_case: str, version: str, dry_run: bool = False) -> dict[str, Any]:
    """Compares it with the version in Production; promotes it if every criterion is met and `dry_run` is false."""
    outcome = promote_version(use_case, version, None, dry_run)
    return asdict(outcome) | {"dry_run": dry_run}
