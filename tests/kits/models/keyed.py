"""Use cases with keys of any kind: from names of keys and views to raw tables, Feast's objects, payloads and files.

Each view has one number, and the label follows from their sum. The use case is churn's under another name of its model.
"""

import csv
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64
from pydantic import BaseModel, ConfigDict, create_model

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.features.entity_key import PAYLOADS, KeyValue
from asof.features.feature_store import feature_store, quiet
from asof.features.join_keys import JoinKeys, keys_of_extract
from asof.settings import Settings
from asof.use_case import Estimator, FromStore, Score, UseCase
from tests.kits.models.training import CHURN, regression
from tests.kits.service.application import application
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

AS_OF = datetime(2024, 1, 31, tzinfo=UTC)
VALUE_TYPES = {Kind.TEXT: ValueType.STRING, Kind.INTEGER: ValueType.INT64, Kind.UUID: ValueType.UUID}

Row = tuple[KeyValue, ...]
"""A value of each key, in the order of their names."""


@dataclass(frozen=True)
class Keyed:
    """A use case, its name in tables and Feast, and the names of the keys of each view."""

    name: str
    kinds: Mapping[str, Kind]
    views: Mapping[str, Sequence[str]]

    @property
    def service(self) -> str:
        return f"{self.name}_v1"

    @property
    def keys(self) -> JoinKeys:
        return keys_of_extract(self.extract)

    @property
    def extract(self) -> ExtractSchema:
        """A table of entities that has the keys only, one for each view, and the labels."""
        tables = [self._table(view, keys, Column(f"{view}_x", Kind.NUMBER)) for view, keys in self.views.items()]
        return ExtractSchema(
            entity=tuple(self.kinds) if len(self.kinds) > 1 else next(iter(self.kinds)),
            entity_table=f"{self.name}_all",
            tables=(self._table("all", self.kinds), *tables),
            labels=self._table("labels", self.kinds, Column("good", Kind.BOOLEAN)),
            label="good",
        )

    def _table(self, what: str, keys: Sequence[str] | Mapping[str, Kind], *values: Column) -> RawTable:
        return RawTable(f"{self.name}_{what}", (*(Column(key, self.kinds[key]) for key in keys), *values))

    @property
    def use_case(self) -> UseCase:
        members: Any = {name: (PAYLOADS[kind], ...) for name, kind in self.kinds.items()}
        request = create_model("Request", __config__=ConfigDict(extra="forbid"), **members)
        answer = create_model("Answer", probability=(float, ...), **members)

        def respond(asked: BaseModel, score: Score) -> BaseModel:
            return answer(**asked.model_dump(), probability=score.probability)

        return replace(
            CHURN,
            model_name=f"keyed_{self.name}",
            source=FromStore(self.extract),
            estimators={"default": Estimator(self.service, regression, "a logistic regression")},
            request=request,
            answer=answer,
            respond=respond,
        )

    def feast_objects(self) -> list[Any]:
        entities = {
            name: Entity(name=f"{self.name}_{name}", join_keys=[name], value_type=VALUE_TYPES[kind])
            for name, kind in self.kinds.items()
        }
        views = [self._view(view, [entities[key] for key in keys]) for view, keys in self.views.items()]
        service = FeatureService(name=self.service, features=views)
        return [*entities.values(), *(view.batch_source for view in views), *views, service]

    def _view(self, view: str, entities: list[Entity]) -> FeatureView:
        table = f"{self.name}_{view}"
        source = PostgreSQLSource(
            name=table, table=table, timestamp_field="as_of", created_timestamp_column="created_at"
        )
        schema = [Field(name=f"{view}_x", dtype=Float64)]
        return FeatureView(name=f"{table}_fv", entities=entities, ttl=timedelta(days=45), schema=schema, source=source)

    def write(self, folder: Path, rows: Sequence[Row], spell: Callable[[KeyValue], object] = str) -> Path:
        """An extract of these entities; `spell` writes a key's value."""
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(self.kinds)
        named = [dict(zip(names, row, strict=True)) for row in rows]
        values: list[dict[str, float]] = [{} for _ in rows]
        for view, keys in self.views.items():
            cells = {tuple(each[key] for key in keys): 0.0 for each in named}
            cells = dict(zip(cells, np.random.default_rng(len(view)).normal(size=len(cells)).tolist(), strict=True))
            self._write(folder, view, [*keys, f"{view}_x"], [(*map(spell, key), x) for key, x in cells.items()])
            for each, own in zip(named, values, strict=True):
                own[view] = cells[tuple(each[key] for key in keys)]
        self._write(folder, "all", names, [tuple(map(spell, row)) for row in rows])
        good = [sum(own.values()) + (number % 7 - 3) / 3 > 0 for number, own in enumerate(values)]
        labelled = [(*map(spell, row), each) for row, each in zip(rows, good, strict=True)]
        self._write(folder, "labels", [*names, "good"], labelled)
        return folder

    def _write(self, folder: Path, what: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        with (folder / f"{self.name}_{what}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])


def load(settings: Settings, case: Keyed, folder: Path) -> None:
    """Loads an extract, applies the features, and fills the online store."""
    take_snapshot(settings, case.extract, folder, as_of=AS_OF)
    with feature_store(settings) as store, quiet():
        store.apply(case.feast_objects())
    materialise(settings, as_of=AS_OF)


def train_and_register(settings: Settings, case: Keyed) -> ModelVersion:
    """A version of the use case's model."""
    trained = train(settings, case.use_case, build_training_set(settings, case.use_case, AS_OF))
    return register(settings, evaluate(settings, trained))


@asynccontextmanager
async def served(settings: Settings, case: Keyed, version: ModelVersion) -> AsyncIterator[httpx.AsyncClient]:
    """The service's own application in this process, without BentoML."""
    async with application(settings.model_copy(update={"clock": AS_OF}), case.use_case, version) as client:
        yield client
