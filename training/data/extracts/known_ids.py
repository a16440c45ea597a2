"""The ids that the rows of a delivery may have, and the ids of rows as one text each."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as arrow
import pyarrow.compute as compute

from asof.extracts.schema import Kind, RawTable
from asof.features.join_keys import SEPARATOR
from training.data.extracts.cell_types import as_text, parse_keys


@dataclass(frozen=True)
class KnownIds:
    """Ids as `row_ids` has them; `what` describes such an id in a finding.

    `erased` tells of any other id whether it was known until its entity was erased.
    """

    ids: arrow.ChunkedArray
    what: str
    erased: Callable[[str], bool] | None = None

    def contain(self, ids: arrow.Array) -> arrow.Array:
        """Whether each of n ids is known, or was until it was erased: n booleans."""
        known = compute.is_in(ids, value_set=self.ids)
        if self.erased is None:
            return known
        return arrow.array(
            [here or self.erased(id_) for here, id_ in zip(known.to_pylist(), ids.to_pylist(), strict=True)]
        )


def row_ids(rows: arrow.Table, table: RawTable) -> arrow.ChunkedArray:
    """The id of each row of text or of typed cells, the values of its keys joined; equal where the ids are.

    A cell that is not of its kind stays as it is; the id is null where one is null.
    """
    keys = [_canonical(rows[key.name], key.kind) for key in table.key_columns]
    return keys[0] if len(keys) == 1 else compute.binary_join_element_wise(*keys, SEPARATOR)


def _canonical(cells: arrow.ChunkedArray, kind: Kind) -> arrow.ChunkedArray:
    if kind is Kind.TEXT or not arrow.types.is_string(cells.type):
        return as_text(cells)
    return compute.coalesce(as_text(parse_keys(cells, kind)), cells)
