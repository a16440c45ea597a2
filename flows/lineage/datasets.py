"""What each stage read and wrote, from its result. https://openlineage.io/docs/spec/naming"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asof.postgres_url import SCHEMA
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from flows.lineage.events import Dataset, Datasets

FILES, MODELS, BENTOS, ROWS = "file", "mlflow", "bentoml", "asof"
"""Namespaces of files, registered models, Bentos, and the rows that queries and use cases give."""


@dataclass(frozen=True)
class Done:
    """A stage that is done: its result, and its arguments by name."""

    settings: Settings
    case: UseCase
    result: Mapping[str, Any]
    arguments: Mapping[str, Any]


def of_ingest(done: Done) -> Datasets:
    """Files with their SHA-256 -> tables with the rows that were added."""
    inputs = [
        _source(each["folder"], name, digest, done.arguments.get("folder"))
        for each in done.result["deliveries"]
        for name, digest in each["files"].items()
    ]
    added: dict[str, int] = {}
    for each in done.result["deliveries"]:
        for table, rows in each["new_rows"].items():
            added[table] = added.get(table, 0) + rows
    return Datasets(inputs, [_table(done.settings, table, rows=rows) for table, rows in added.items()])


def of_retrain(done: Done) -> Datasets:
    """Tables -> a registered version, with the fingerprint of its training set."""
    version = done.result.get("version")
    if version is None:  # of an alert that was not handled
        return Datasets()
    trained = _model(version["name"], version["version"], version["facts"]["fingerprint"])
    return Datasets(_rows(done), [trained])


def of_promote(done: Done) -> Datasets:
    """A version -> what is in Production, where it was promoted."""
    name, version = done.result["name"], done.result["version"]
    production = [Dataset(MODELS, f"models/{name}@production", version)] if done.result["promoted"] else []
    return Datasets([_model(name, version)], production)


def of_score(done: Done) -> Datasets:
    """Tables and a version -> the view of scores, or a folder."""
    model = _model(done.result["model"], done.result["version"], done.result["fingerprint"])
    to, rows = done.result["to"], done.result["new"]
    scores = _table(done.settings, "scores", rows=rows) if to == "postgres" else Dataset(FILES, str(to), rows=rows)
    return Datasets([*_rows(done), model], [scores])


def of_bundle(done: Done) -> Datasets:
    """A version, or a run's model -> a Bento."""
    version, run_id = done.result["version"], done.result["run_id"]
    model = _model(done.case.model_name, version) if version else Dataset(MODELS, f"runs/{run_id}")
    return Datasets([model], [Dataset(BENTOS, done.result["bento_tag"])])


def _source(delivery: str, name: str, digest: str, folder: str | None) -> Dataset:
    """A file of a delivery, which is `folder` or a folder in it, or a query's rows."""
    if folder is None:
        return Dataset(ROWS, f"{delivery}/{name}", digest)
    whole, own = Path(folder).absolute(), delivery.partition(" (")[0]
    return Dataset(FILES, str((whole / own if (whole / own).is_dir() else whole) / name), digest)


def _rows(done: Done) -> Sequence[Dataset]:
    """The tables that a use case learns from, or its own rows."""
    if not isinstance(done.case.source, FromStore):
        return [Dataset(ROWS, f"{done.case.name}.rows")]
    return [_table(done.settings, table.name) for table in done.case.extract.tables]


def _table(settings: Settings, table: str, *, rows: int | None = None) -> Dataset:
    url = settings.database()
    namespace = f"postgres://{url.host or 'localhost'}:{url.port or 5432}"
    return Dataset(namespace, f"{url.database}.{SCHEMA}.{table}", rows=rows)


def _model(name: str, version: str, digest: str | None = None) -> Dataset:
    return Dataset(MODELS, f"models/{name}/{version}", digest)
