"""The stage `ingest`: extracts, or queries -> dated snapshots -> online store."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from asof.errors import DataError
from asof.extracts.cadence import Every, moment_text
from asof.settings import Moment
from asof.use_case import UseCase
from asof.use_cases import default_name, load, others, raw_tables
from flows.lineage.datasets import of_ingest
from flows.lineage.emitting import emits_lineage
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database
from flows.runtime.extract_files import check_extract_files
from flows.runtime.progress import log
from flows.runtime.steps import step
from flows.stages.parity import compare, parity_result
from training.data.extracts.deliveries import Delivery, find_deliveries
from training.data.extracts.moments import moment_deliveries
from training.data.snapshots.queries.loading import due_labels
from training.data.snapshots.snapshot import Snapshot, take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation.applied import is_applied
from training.features.materialisation.feature_registry import apply_features, check_features
from training.features.materialisation.materialise import Materialisation, materialise, unchanged
from training.features.parity.check import SAMPLE_USERS


@step("take-snapshot")
def take(use_case: str, delivery: Delivery) -> Snapshot:
    """Loads a delivery into the append-only tables."""
    log.info("%s as of %s", delivery.name, moment_text(delivery.as_of) if delivery.as_of else "now")
    snapshot = take_snapshot(
        settings_with_database(),
        load(use_case).extract,
        delivery.folder,
        as_of=delivery.as_of,
        known_at=delivery.known_at,
        part=delivery.part,
    )
    if snapshot.left_out:
        log.warning("%d rows of erased entities were left out", sum(snapshot.left_out.values()))
    return snapshot


@step("materialise")
def refresh_online_store(use_case: str, as_of: datetime | None, whole: bool) -> Materialisation:
    """Applies the feature definitions and materialises the newest rows, without the views of other use cases.

    Where both are done already, that is seen without Feast.
    """
    settings = settings_with_database()
    prepare_tables(settings, load(use_case).extract)
    theirs = {name for other in others(use_case) for name in raw_tables(other)}
    if not whole and is_applied(settings) and (done := unchanged(settings, as_of=as_of, without=theirs)):
        return done
    apply_features(settings)
    return materialise(settings, as_of=as_of, whole=whole, without=theirs, progress=log.info)


@emits_lineage("ingest", of_ingest, from_store=True)
def ingest(
    folder: str | None,
    first_as_of: Moment | None = None,
    backfill: bool = False,
    online_as_of: Moment | None = None,
    use_case: str | None = None,
    whole: bool = False,
    until: Moment | None = None,
    every: Every | None = None,
) -> dict[str, Any]:
    """Loads every delivery in a folder that is not loaded yet, or what the queries of the use case give; then
    materialises the online store.

    Where all tables are queried, they are read as of `first_as_of` (default: now), or as of each moment from it to
    `until`, `every` so often (default: the use case's cadence). Queried labels of earlier moments are read once they
    can be known. `whole` rewrites every view. Afterwards the store is compared with the snapshots. A difference does
    not fail the run, as the loads stay valid: the result and the artifact `parity` report it, and the gate refuses
    models.

    Raises ConfigurationError if the use case has no feature store, or as `check_features` does.
    """
    use_case = use_case or default_name(from_store=True)
    problem = load(use_case)
    takes_files = problem.extract.takes_files  # raises before anything is read
    settings = settings_with_database()
    if not is_applied(settings):
        for broken in check_features(settings, problem):
            log.warning("%s Its definitions stay as they are registered.", broken)
    if takes_files:
        deliveries = _in_folder(problem, folder, first_as_of, is_range=bool(until or every), backfill=backfill)
    else:
        deliveries = moment_deliveries(problem.extract, first_as_of, until, every, backfill=backfill)
    snapshots = [take(use_case, each) for each in deliveries]
    if not backfill:
        deliveries += (due := due_labels(settings, problem.extract))
        snapshots += [take(use_case, each) for each in due]
    online = refresh_online_store(use_case, online_as_of, whole)
    loads = [
        {"delivery": delivery.name, "as of": snapshot.as_of, "table": table, "rows": rows, "new rows": new}
        for delivery, snapshot in zip(deliveries, snapshots, strict=True)
        for (table, rows), new in zip(snapshot.rows.items(), snapshot.new_rows.values(), strict=True)
    ]
    publish_table("ingest", loads, "Rows read and rows that were new")
    publish_table("materialise", map(asdict, online.refreshes), f"Online store as of {online.as_of}")
    return {
        "deliveries": [_loaded(d, s) for d, s in zip(deliveries, snapshots, strict=True)],
        "online": asdict(online),
        "parity": parity_result(compare(use_case, online_as_of, SAMPLE_USERS)),
    }


def _in_folder(
    problem: UseCase, folder: str | None, first: datetime | None, *, is_range: bool, backfill: bool
) -> list[Delivery]:
    if folder is None or is_range:
        files = ", ".join(problem.extract.file_names)
        raise DataError(
            f"{problem.name} takes files ({files}): name their folder, and a moment by --as-of, not a range of moments."
        )
    extract = problem.extract
    deliveries = find_deliveries(
        Path(folder),
        first=first,
        backfill=backfill,
        labels=extract.labels.stem,
        features=extract.feature_files,
        cadence=extract.cadence,
    )
    check_extract_files(problem, Path(folder), deliveries)
    return deliveries


def _loaded(delivery: Delivery, snapshot: Snapshot) -> Mapping[str, Any]:
    return {"folder": delivery.name, **asdict(snapshot)}
