"""A use case and a moment -> TrainingSet, from the snapshots or from the use case's own data set."""

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.errors import TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import FromRequest, FromStore, UseCase
from training.features.datasets.lake.layout import Lake, folder_of, usable_lake
from training.features.datasets.point_in_time import JoinedRows, joined_rows, newest_labelled_month
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, canonical_frame, column_types, frame_of, table_of
from training.targets import rules_of

if TYPE_CHECKING:
    import pandas as pd

FINGERPRINT_FORMAT = "asof fingerprint 1"


def fingerprint(
    rows_digest: str, contract: FeatureContract, *, as_of: datetime, known_at: datetime, definition: str
) -> str:
    """64 hexadecimal digits: SHA-256 of the arguments as canonical JSON, keys sorted, in ASCII, times in UTC.

    `rows_digest` identifies the rows, the rest their source: the moments, the feature service with its views and types,
    and `definition`, the SQL of the join with the views' queries.
    """
    payload = {
        "format": FINGERPRINT_FORMAT,
        "rows": rows_digest,
        "as_of": as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "known_at": known_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "contract": {key: part for key, part in contract.to_dict().items() if key != "definitions"},
        "definition": definition,
    }
    return hashlib.sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def build_training_set(
    settings: Settings,
    use_case: UseCase,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    feature_service: str | None = None,
    from_lake: bool = False,
) -> TrainingSet:
    """Features and labels of every labelled entity as of one moment, as they were known at another (default: now).

    The same call with the same `known_at` returns the same rows at any later time. `feature_service` defaults to that
    of the use case's default estimator; it is ignored if the features come in the request. With `from_lake` the rows
    are read from ASOF_LAKE if it has the use case as known at `known_at`; without `known_at`, as known at its own
    moment.

    Raises TrainingSetError if nothing was known of `as_of` at `known_at`, if it has no labels or labels that are not of
    the target, and if the use case's own data set breaks its contract.
    """
    lake = usable_lake(settings, use_case, known_at) if from_lake else None
    known = _checked_known_at(as_of, lake.known_at if lake else known_at)
    match use_case.source:
        case FromStore():
            extract = use_case.extract
            service = feature_service or use_case.estimator().feature_service
            joined = _joined(settings, use_case, lake, as_of, known_at=known, feature_service=service)
            rows, contract, label, definition = joined.rows, joined.contract, extract.label, joined.definition
            frame = frame_of(rows, contract, label)
        case FromRequest(contract=contract, label=label):
            own = _own_rows(use_case, use_case.source, as_of)
            frame, definition = canonical_frame(own, contract, label, use_case.target.label_type), ""
            rows = table_of(frame, contract, label)
    digest = rows_digest([rows], column_types(contract, label, use_case.target.label_type), key=contract.keys.names)
    return TrainingSet(
        frame,
        contract,
        label,
        as_of,
        known,
        fingerprint=fingerprint(digest, contract, as_of=as_of, known_at=known, definition=definition),
        rows_digest=digest,
        definition=definition,
        derived=use_case.derived,
        target=use_case.target,
    )


def _joined(
    settings: Settings,
    use_case: UseCase,
    lake: Lake | None,
    as_of: datetime,
    *,
    known_at: datetime,
    feature_service: str,
) -> JoinedRows:
    if lake and settings.lake:
        from training.features.datasets.lake.rows import lake_rows  # pyarrow.dataset loads pandas

        folder = folder_of(settings.lake, use_case)
        return lake_rows(settings, use_case, lake, folder, as_of, feature_service=feature_service)
    return joined_rows(
        settings,
        use_case.extract,
        as_of,
        known_at=known_at,
        feature_service=feature_service,
        given=use_case.given,
        target=use_case.target,
    )


def newest_labelled(settings: Settings, use_case: UseCase, known_at: datetime | None = None) -> datetime:
    """The newest moment with both features and labels, as known at `known_at` (default: now).

    Raises TrainingSetError if there is none.
    """
    match use_case.source:
        case FromStore():
            return newest_labelled_month(settings, use_case.extract, known_at)
        case FromRequest(as_of=as_of):
            return as_of


def _checked_known_at(as_of: datetime, known_at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    known = known_at or now
    if known > now:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies in the future: set it to the present or an earlier moment."
        )
    if known < as_of:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies before as_of {as_of.isoformat()}: set it to a later moment."
        )
    return known


def _own_rows(use_case: UseCase, source: FromRequest, as_of: datetime) -> "pd.DataFrame":
    """The use case's own rows, after checking that keys are unique and labels are of its target."""
    name = use_case.name
    if as_of != source.as_of:
        raise TrainingSetError(
            f"The rows of {name} describe {source.as_of.isoformat()}, not {as_of.isoformat()}: leave --as-of out."
        )
    rows, contract = source.rows(), source.contract
    if absent := [column for column in column_types(contract, source.label) if column not in rows]:
        raise TrainingSetError(f"The rows of {name} lack the columns {', '.join(absent)}: see its data.py.")
    keys = [*contract.keys.names]
    if rows[keys].isna().any(axis=None) or rows.duplicated(keys).any():
        raise TrainingSetError(
            f"The rows of {name} have missing or duplicate values of {', '.join(keys)}: each row needs its own."
        )
    if fault := rules_of(use_case.target).fault(rows[source.label]):
        raise TrainingSetError(f"The labels of {name} {fault}: correct column {source.label}, see its data.py.")
    return rows
