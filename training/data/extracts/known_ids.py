"""The ids that the rows of a delivery may have."""

from dataclasses import dataclass

import pyarrow as arrow


@dataclass(frozen=True)
class KnownIds:
    """Ids as text; `what` describes such an id in a finding."""

    ids: arrow.ChunkedArray
    what: str
