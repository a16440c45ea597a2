"""A version and its rebuilt training set -> Rebuilt: whether rows and definition agree, and how they differ."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from asof.features.feature_contract import FeatureContract
from asof.features.join_keys import Entity
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from training.audit.reproduction.differences import Difference, Differences, compare_rows
from training.audit.reproduction.origins import Origin, origins
from training.features.datasets.dataset import fingerprint
from training.features.datasets.training_set import TrainingSet, frame_of
from training.models.fitting.logged_rows import (
    erased_rows,
    logged_definition,
    logged_rows,
    rows_are_left,
    rows_match,
)
from training.release.registry.versions import ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Cell(Difference):
    """A differing cell, and the times (see `Origin`) of the row of `source` that has its present value.

    `source` is a feature view, the labels' table, or GIVEN. The times are None if there is no row, or no database.
    """

    source: str
    as_of: datetime | None
    created_at: datetime | None
    loaded_at: datetime | None


@dataclass(frozen=True)
class Rebuilt:
    """`rows_agree` and `definition_agrees` are None if the version recorded too little to compare.

    `definition` holds the changed lines of the feature contract and of the SQL, `-` for then, `+` for now.
    `differences`, listed as Cells, is None if the rows agree, or if those of then are not kept. `erased` of the rows
    were erased since; where the others are the same, `rows_agree` is None.
    """

    rows_agree: bool | None
    definition_agrees: bool | None
    definition: tuple[str, ...]
    differences: Differences | None
    not_compared: tuple[str, ...]
    erased: int = 0


def compare_sets(
    client: "MlflowClient", settings: Settings, use_case: UseCase, version: ModelVersion, *, now: TrainingSet
) -> Rebuilt:
    """Compares digests; if they differ, finds the lines, cells and rows that cause it in the run's artifacts."""
    facts = version.facts
    if not facts.rows_digest:
        return Rebuilt(None, None, (), None, not_compared=("The version is older than the rows' digest.",))
    rows_agree = facts.rows_digest == now.rows_digest
    # Compares only the definition: with today's, the rows of then would have this fingerprint.
    expected = fingerprint(
        facts.rows_digest, now.contract, as_of=now.as_of, known_at=now.known_at, definition=now.definition
    )
    definition_agrees = expected == facts.fingerprint
    missing: list[str] = []
    lines = () if definition_agrees else _changed_lines(client, version, now, missing=missing)
    differences = None if rows_agree else _differences(client, settings, version, now, missing=missing)
    if differences and differences.first:
        differences = replace(differences, first=_cells(settings, use_case, now, differences.first))
    rebuilt = Rebuilt(rows_agree, definition_agrees, lines, differences, not_compared=tuple(missing))
    return rebuilt if rows_agree else _told_erased(client, settings, version, rebuilt)


def _told_erased(client: "MlflowClient", settings: Settings, version: ModelVersion, rebuilt: Rebuilt) -> Rebuilt:
    """Rows that were erased do not differ: nobody can compare them."""
    if (record := erased_rows(settings, client, version.run_id)) is None:
        return rebuilt
    others_agree = rebuilt.differences is not None and not any(vars(rebuilt.differences).values())
    differences = None if others_agree else rebuilt.differences
    agree = None if others_agree else rebuilt.rows_agree
    return replace(rebuilt, rows_agree=agree, differences=differences, erased=record.trained - record.left)


def _changed_lines(
    client: "MlflowClient", version: ModelVersion, now: TrainingSet, *, missing: list[str]
) -> tuple[str, ...]:
    lines = _diff(_contract_lines(version.facts.contract), _contract_lines(now.contract))
    kept = logged_definition(client, version.run_id)
    if kept is None and now.definition:
        missing.append("The run keeps no training_set.sql: only the features of the definition were compared.")
        return lines
    return lines + _diff((kept or "").splitlines(), now.definition.splitlines())


def _contract_lines(contract: FeatureContract) -> list[str]:
    features = (f"{each.view}:{each.name} {each.dtype}".lstrip(":") for each in contract.features)
    return [
        f"service {contract.feature_service}",
        f"entity {contract.entity if isinstance(contract.entity, str) else contract.keys}",
        *features,
    ]


def _diff(then: list[str], now: list[str]) -> tuple[str, ...]:
    lines = list(difflib.unified_diff(then, now, n=0, lineterm=""))[2:]
    return tuple(line for line in lines if not line.startswith("@@"))


def _differences(
    client: "MlflowClient", settings: Settings, version: ModelVersion, now: TrainingSet, *, missing: list[str]
) -> Differences | None:
    kept, facts = logged_rows(client, version.run_id), version.facts
    if kept is None:
        missing.append("The run keeps no training_set.parquet: the cells were not compared.")
        return None
    if not (rows_match(kept, facts, now.label) or rows_are_left(settings, client, version.run_id)):
        missing.append("The run's training_set.parquet is not what the version was trained on: it was not compared.")
        return None
    return compare_rows(frame_of(kept, facts.contract, now.label), now)


def _cells(settings: Settings, use_case: UseCase, now: TrainingSet, first: Iterable[Difference]) -> tuple[Cell, ...]:
    sources = {feature.name: feature.view for feature in now.contract.features}
    rows: Mapping[tuple[Entity, str], Origin] = {}
    if isinstance(use_case.source, FromStore):
        extract = use_case.source.extract
        sources = {feature.name: feature.source for feature in now.contract.features}
        sources[extract.label] = extract.labels.name
        rows = origins(settings, use_case.source, now, entities=[each.entity for each in first])
    cells = (_cell(each, sources.get(each.column, ""), rows) for each in first)
    return tuple(replace(each, entity=now.contract.keys.members(each.entity)) for each in cells)


def _cell(each: Difference, source: str, rows: Mapping[tuple[Entity, str], Origin]) -> Cell:
    origin = rows.get((each.entity, source))
    times = (origin.as_of, origin.created_at, origin.loaded_at) if origin else (None, None, None)
    return Cell(each.entity, each.column, each.then, each.now, source, *times)
