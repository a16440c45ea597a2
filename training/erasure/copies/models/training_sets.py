"""Copies in MLflow: the rows of every run's training set, and rows among its models' golden rows and examples.

A run's rows are logged again without the subject's, with a record of how many were erased (`logged_rows`), signed, so
that the others stay comparable. The models keep what they have learned: the result names them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as arrow

from asof.settings import Settings
from asof.use_case import UseCase
from training.erasure.copies.models.signed_folders import Rows, local_folders, reseal, rows_in
from training.erasure.work import Copy, Work
from training.models.fitting.logged_rows import ROWS_FILE, log_fewer_rows, logged_rows
from training.tracking.artifacts import downloaded, log_file
from training.tracking.client import has_registry, open_tracking
from training.tracking.runs import every_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def erase(work: Work) -> Iterator[Copy]:
    """Of every run of the use case, deleted ones too. Rows of a model first: they are found by those of its run."""
    if not has_registry(work.settings):
        return
    client = open_tracking(work.settings)
    versions = _versions(client, work.use_case)
    folders = dict[str, list[Path]]()
    for run_id, folder in local_folders(work):
        folders.setdefault(run_id, []).append(folder)
    for run in every_run(client, work.use_case.model_name):
        run_id = run.info.run_id
        if run.data.params.get("as_of", "") > work.until.isoformat():
            continue
        rows = logged_rows(client, run_id)
        own = [] if rows is None else [n for n, row in enumerate(_keys(work, rows)) if work.subject.is_row(row)]
        if rows is None or not own:
            continue
        subject = rows.take(own).to_pylist()
        yield from _erase_models(client, work, run, subject)
        yield from _erase_folders(work, run_id, folders.get(run_id, []), subject)
        if work.apply:
            log_fewer_rows(work.settings, client, run_id, rows, own, work.digest)
        named = versions.get(run_id) or f"run {run_id}"
        yield Copy(f"MLflow run {run_id}: {ROWS_FILE}", len(own), models=(named,))


def entities_of_runs(settings: Settings, use_case: UseCase, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The values of the keys `names` of each row of each run's training set."""
    if has_registry(settings):
        client = open_tracking(settings)
        for run in every_run(client, use_case.model_name):
            if (rows := logged_rows(client, run.info.run_id)) is not None and {*names} <= {*rows.column_names}:
                yield from rows.select([*names]).to_pylist()


def _keys(work: Work, rows: arrow.Table) -> list[Mapping[str, Any]]:
    names = [name for name in work.subject.keys if name in rows.column_names]
    columns: list[Mapping[str, Any]] = rows.select(names).to_pylist()
    return columns


def _versions(client: "MlflowClient", use_case: UseCase) -> dict[str, str]:
    versions = client.search_model_versions(f"name='{use_case.model_name}'")
    return {each.run_id: f"version {each.version}" for each in versions}


def _erase_models(client: "MlflowClient", work: Work, run: "Run", rows: Rows) -> Iterator[Copy]:
    for output in run.outputs.model_outputs if run.outputs else []:
        uri = f"models:/{output.model_id}"
        with downloaded(work.settings, uri) as copy:
            count = rows_in(copy, rows)
            if work.apply:
                for name, content in reseal(work.settings, copy, run.info.run_id, rows).items():
                    log_file(client, uri, name, content)
        yield Copy(f"MLflow model {output.model_id}: golden rows and examples", count)


def _erase_folders(work: Work, run_id: str, folders: list[Path], rows: Rows) -> Iterator[Copy]:
    for folder in folders:
        yield Copy(f"{folder}: golden rows and examples", rows_in(folder, rows))
        if work.apply:
            reseal(work.settings, folder, run_id, rows)
