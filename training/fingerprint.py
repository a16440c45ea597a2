"""What identifies a training set: SHA-256 over its rows' digest and over all that defined them."""

import hashlib
import json
from datetime import UTC, datetime

from asof.feature_contract import FeatureContract

FORMAT = "asof fingerprint 1"


def fingerprint(
    rows_digest: str, contract: FeatureContract, *, as_of: datetime, known_at: datetime, definition: str
) -> str:
    """64 hexadecimal digits: SHA-256 of the canonical JSON of all these, keys sorted, in ASCII, times in UTC.

    `rows_digest` says what the rows are (`training.rows_digest`), the rest where they come from: the moments, the
    feature service with its views and types, and `definition`, the SQL text of the join with the views' own queries.
    Two sets with the same rows may differ in it; two with the same fingerprint are the same rows from the same place.
    """
    told = {
        "format": FORMAT,
        "rows": rows_digest,
        "as_of": as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "known_at": known_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "contract": {key: part for key, part in contract.to_dict().items() if key != "definitions"},
        "definition": definition,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
