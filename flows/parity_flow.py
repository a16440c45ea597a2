"""Snapshots beside the online store, feature by feature."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from sqlalchemy.exc import SQLAlchemyError

from asof.errors import AsOfError
from asof.features.feature_store import mismatch
from asof.settings import Moment, Settings
from asof.use_case import UseCase
from asof.use_cases import load
from flows.runtime.door import default_use_case, open_settings
from flows.runtime.progress import log, publish
from flows.runtime.retries import RETRIES
from training.data.snapshots.tables import prepare_tables
from training.features.parity.check import Parity, check_parity, next_step, summary
from training.features.parity.ledger import record_parity
from training.features.parity.verdicts import Verdict
from training.release.registry.versions import production


@task(name="parity", **RETRIES)
def compare(use_case: str, as_of: datetime | None, sample: int | None) -> Parity:
    """Both sides of every user, or of a sample; and whether the version in Production takes what is registered."""
    settings, problem = open_settings(), load(use_case)
    prepare_tables(settings, problem.extract)
    parity = record_parity(settings, check_parity(settings, problem, as_of=as_of, sample=sample, progress=log.info))
    return replace(parity, misfit=parity.misfit or _misfit_of_production(settings, problem))


def _misfit_of_production(settings: Settings, problem: UseCase) -> str:
    """Empty, too, where nothing is in Production, or MLflow does not say what is."""
    from training.tracking.client import has_registry

    with contextlib.suppress(AsOfError, SQLAlchemyError):
        version = production(settings, problem) if has_registry(settings) else None
        if version and (found := mismatch(settings, version.facts.contract)):
            return f"version {version.version}, which is in Production, cannot answer: {found}"
    return ""


def told(parity: Parity) -> dict[str, Any]:
    """The comparison as one table of features, one of examples; published as an artifact, too."""
    features = [
        {"view": each.view, "feature": each.feature, "type": each.dtype, **each.verdicts} for each in parity.features
    ]
    publish("parity", features, f"{summary(parity)}. {next_step(parity)}")
    facts = {"agrees": parity.agrees, "differences": parity.differences, "wrong": parity.wrong}
    words = {"summary": summary(parity), "next": next_step(parity)}
    return {**asdict(parity), **facts, **words, "features": features}


def narrow(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same in few columns, for a terminal: without the verdicts that nothing got."""
    seen = [verdict for verdict in Verdict if any(row[verdict] for row in answer["features"])]
    features = [
        {"feature": f"{row['view']}:{row['feature']}", "type": row["type"]} | {each: row[each] for each in seen}
        for row in answer["features"]
    ]
    tables = {"values by verdict": features, "examples": _rows(answer["examples"])}
    return {"compared": answer["summary"], **{title: rows for title, rows in tables.items() if rows}}


def _rows(examples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: each[name] for name in ("verdict", "entity", "feature")}
        | {side: f"{each[side]} {each[f'{side}_type']} {each[f'{side}_as_of']}" for side in ("offline", "online")}
        for each in examples
    ]


@flow(name="parity", description="What the online store holds against what a training set would be made of.")
def parity(use_case: str | None = None, as_of: Moment | None = None, sample: int | None = None) -> State[Any]:
    """Compares all users, or a sample; the run is failed where anything differs."""
    use_case = use_case or default_use_case()
    compared = compare(use_case, as_of, sample)
    outcome = Completed if compared.agrees else Failed
    return outcome(message=summary(compared), data=told(compared))
