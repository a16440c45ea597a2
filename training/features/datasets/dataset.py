"""A use case and a moment -> TrainingSet: from the snapshots, or from the use case's own data set."""

import hashlib
import json
from datetime import UTC, datetime

import pandas as pd

from asof.errors import TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import FromRequest, FromStore, UseCase
from training.features.datasets.point_in_time import joined_rows, newest_labelled_month
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, canonical, column_types, frame_of, table_of

FORMAT = "asof fingerprint 1"


def fingerprint(
    rows_digest: str, contract: FeatureContract, *, as_of: datetime, known_at: datetime, definition: str
) -> str:
    """64 hexadecimal digits: SHA-256 of the canonical JSON of all these, keys sorted, in ASCII, times in UTC.

    `rows_digest` says what the rows are (`training.features.datasets.rows_digest`), the rest where they come from: the
    moments, the feature service with its views and types, and `definition`, the SQL text of the join with the views'
    own queries. Two sets with the same rows may differ in it; two with the same fingerprint are the same rows from the
    same place."""
    told = {
        "format": FORMAT,
        "rows": rows_digest,
        "as_of": as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "known_at": known_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "contract": {key: part for key, part in contract.to_dict().items() if key != "definitions"},
        "definition": definition,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def build_training_set(
    settings: Settings,
    use_case: UseCase,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    feature_service: str | None = None,
) -> TrainingSet:
    """Features and labels of every labelled entity as of one moment, as they were known at another (default: now).

    The same call with the same `known_at` gives the same rows at any later time. `feature_service` defaults to that of
    the use case's default estimator; it means nothing where the features come in the request.

    Raises TrainingSetError where nothing was known of `as_of` at `known_at`, where it has no labels, or labels of one
    class, and where a data set of the use case's own breaks its contract.
    """
    known = _known(as_of, known_at)
    match use_case.source:
        case FromStore():
            extract = use_case.extract
            service = feature_service or use_case.estimator().feature_service
            joined = joined_rows(settings, extract, as_of, known_at=known, feature_service=service)
            rows, contract, label, definition = joined.rows, joined.contract, extract.label, joined.definition
            frame = frame_of(rows, contract, label)
        case FromRequest(contract=contract, label=label):
            frame, definition = canonical(_own_rows(use_case.name, use_case.source, as_of), contract, label), ""
            rows = table_of(frame, contract, label)
    digest = rows_digest([rows], column_types(contract, label), key=[contract.entity])
    whole = fingerprint(digest, contract, as_of=as_of, known_at=known, definition=definition)
    return TrainingSet(
        frame,
        contract,
        label,
        as_of,
        known,
        fingerprint=whole,
        rows_digest=digest,
        definition=definition,
        derived=use_case.derived,
    )


def newest_labelled(settings: Settings, use_case: UseCase, known_at: datetime | None = None) -> datetime:
    """The newest moment that had both features and labels at `known_at` (default: now).

    Raises TrainingSetError where there was none.
    """
    match use_case.source:
        case FromStore():
            return newest_labelled_month(settings, use_case.extract, known_at)
        case FromRequest(as_of=as_of):
            return as_of


def _known(as_of: datetime, known_at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    known = known_at or now
    if known > now:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies in the future: what will be known then is not here yet."
        )
    if known < as_of:
        raise TrainingSetError(
            f"known_at {known.isoformat()} lies before as_of {as_of.isoformat()}: set it to a later moment."
        )
    return known


def _own_rows(name: str, source: FromRequest, as_of: datetime) -> pd.DataFrame:
    """The use case's own rows, checked for what no library checks: a key twice, a label missing or of one class."""
    if as_of != source.as_of:
        raise TrainingSetError(
            f"The rows of {name} describe {source.as_of.isoformat()}, not {as_of.isoformat()}: leave --as-of out."
        )
    rows, contract = source.rows(), source.contract
    if absent := [column for column in _columns(contract, source.label) if column not in rows]:
        raise TrainingSetError(f"The rows of {name} lack the columns {', '.join(absent)}: see its data.py.")
    if rows[contract.entity].isna().any() or rows[contract.entity].duplicated().any():
        raise TrainingSetError(
            f"The rows of {name} hold no {contract.entity}, or the same twice: each row needs its own."
        )
    if set(rows[source.label]) != {False, True}:
        raise TrainingSetError(f"The labels of {name} must be False and True, and both: {source.label} has others.")
    return rows


def _columns(contract: FeatureContract, label: str) -> list[str]:
    return [contract.entity, *contract.names, label]
