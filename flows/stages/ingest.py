"""The stage `ingest`: extracts -> dated snapshots -> online store."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from asof.settings import Moment
from asof.use_cases import load, others, raw_tables
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import default_use_case, settings_with_database
from flows.runtime.extract_files import check_extract_files
from flows.runtime.progress import log
from flows.runtime.steps import step
from flows.stages.parity import compare, parity_result
from training.data.extracts.deliveries import Delivery, find_deliveries
from training.data.snapshots.snapshot import Snapshot, take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation.feature_registry import apply_features, check_features
from training.features.materialisation.materialise import Materialisation, materialise
from training.features.parity.check import SAMPLE_USERS


@step("take-snapshot")
def take(use_case: str, delivery: Delivery) -> Snapshot:
    """Loads a delivery into the append-only tables."""
    log.info("%s as of %s", delivery.name, delivery.as_of.date())
    return take_snapshot(
        settings_with_database(),
        load(use_case).extract,
        delivery.folder,
        as_of=delivery.as_of,
        known_at=delivery.known_at,
        part=delivery.part,
    )


@step("materialise")
def refresh_online_store(use_case: str, as_of: datetime | None, whole: bool) -> Materialisation:
    """Applies the feature definitions and materialises the newest rows, without the views of other use cases."""
    settings = settings_with_database()
    prepare_tables(settings, load(use_case).extract)
    apply_features(settings)
    theirs = {name for other in others(use_case) for name in raw_tables(other)}
    return materialise(settings, as_of=as_of, whole=whole, without=theirs, progress=log.info)


def ingest(
    folder: str,
    first_as_of: date | None = None,
    backfill: bool = False,
    online_as_of: Moment | None = None,
    use_case: str | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """Loads every delivery in a folder that is not loaded yet, then materialises the online store.

    `whole` rewrites every view. Afterwards the store is compared with the snapshots. A difference does not fail the
    run, as the loads stay valid: the result and the artifact `parity` report it, and the gate refuses models.

    Raises ConfigurationError if the use case has no feature store, or as `check_features` does.
    """
    use_case = use_case or default_use_case()
    problem = load(use_case)
    labels = problem.extract.labels.name  # raises before anything is read
    for broken in check_features([estimator.feature_service for estimator in problem.estimators.values()]):
        log.warning("%s Its definitions stay as they are registered.", broken)
    deliveries = find_deliveries(Path(folder), first=first_as_of, backfill=backfill, labels=labels)
    check_extract_files(problem, Path(folder), deliveries)
    snapshots = [take(use_case, each) for each in deliveries]
    online = refresh_online_store(use_case, online_as_of, whole)
    loads = [
        {"delivery": delivery.name, "as of": snapshot.as_of, "table": table, "rows": rows, "new rows": new}
        for delivery, snapshot in zip(deliveries, snapshots, strict=True)
        for (table, rows), new in zip(snapshot.rows.items(), snapshot.new_rows.values(), strict=True)
    ]
    publish_table("ingest", loads, "Rows read and rows that were new")
    publish_table("materialise", map(asdict, online.refreshes), f"Online store as of {online.as_of}")
    return {
        "deliveries": [{"folder": d.name, **asdict(s)} for d, s in zip(deliveries, snapshots, strict=True)],
        "online": asdict(online),
        "parity": parity_result(compare(use_case, online_as_of, SAMPLE_USERS)),
    }
