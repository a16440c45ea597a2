"""The stage `parity`: compares the online store with the snapshots, feature by feature."""

import contextlib
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import psycopg

from asof.errors import AsOfError
from asof.features.feature_store import mismatch
from asof.settings import Moment, Settings
from asof.use_case import UseCase
from asof.use_cases import default_name, load
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.data.snapshots.tables import prepare_tables
from training.features.parity.check import Parity, check_parity, next_step, summary
from training.features.parity.ledger import record_parity
from training.release.registry.versions import production


@step("parity")
def compare(use_case: str, as_of: datetime | None, sample: int | None) -> Parity:
    """Compares all users or a sample, records the result, and checks the registered features of the model."""
    settings, problem = settings_with_database(), load(use_case)
    prepare_tables(settings, problem.extract)
    parity = record_parity(settings, check_parity(settings, problem, as_of=as_of, sample=sample, progress=log.info))
    return replace(parity, misfit=parity.misfit or _misfit_of_production(settings, problem))


def _misfit_of_production(settings: Settings, problem: UseCase) -> str:
    """Why the version in Production cannot use the registered features; empty if it can or is unknown."""
    from training.tracking.client import has_registry

    with contextlib.suppress(AsOfError, psycopg.Error):
        version = production(settings, problem) if has_registry(settings) else None
        if version and (reason := mismatch(settings, version.facts.contract)):
            return f"version {version.version}, which is in Production, cannot answer: {reason}"
    return ""


def parity_result(parity: Parity) -> dict[str, Any]:
    """The comparison as JSON data; also published as an artifact."""
    features = [
        {"view": each.view, "feature": each.feature, "type": each.dtype, **each.verdicts} for each in parity.features
    ]
    publish_table("parity", features, f"{summary(parity)}. {next_step(parity)}")
    facts = {"agrees": parity.agrees, "differences": parity.differences, "wrong": parity.wrong}
    texts = {"summary": summary(parity), "next": next_step(parity)}
    return {**asdict(parity), **facts, **texts, "features": features}


def parity(use_case: str | None = None, as_of: Moment | None = None, sample: int | None = None) -> dict[str, Any]:
    """Compares all users or a sample."""
    return parity_result(compare(use_case or default_name(from_store=True), as_of, sample))
