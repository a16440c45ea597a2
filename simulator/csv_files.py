"""Columns -> rows at the end of a CSV file, spelled as in the real extracts: True and False, ISO dates, no quotes.

UTF-8, lines end with LF, the last one too; a masked value is an empty field. Arrow formats a million rows in the time
that Python's own writer takes for some ten thousand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

DECIMALS: Mapping[str, int] = {
    "monthly_fee": 2,
    "total_paid": 2,
    "watch_hours_30d": 2,
    "avg_session_mins_7d": 1,
    "ticket_avg_resolution_hrs_90d": 1,
    "hours_fallen": 2,
    "logit": 10,
    "noise": 10,
    "true_probability": 10,
}
"""How many decimals are written. The last bits of a logarithm differ between processors: they are left out."""


def append_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Appends the rows; a new file, in a folder that may be new too, begins with the names."""
    table = pa.table({name: _spelled(name, values) for name, values in columns.items()})
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(",".join(columns).encode() + b"\n")
    with path.open("ab") as file:
        pa.csv.write_csv(table, file, pa.csv.WriteOptions(include_header=False, quoting_style="none"))


def _spelled(name: str, values: NDArray[Any]) -> pa.Array:
    mask, plain = np.ma.getmaskarray(values) if np.ma.isMA(values) else None, np.ma.getdata(values)
    if plain.dtype.kind == "b":
        return pa.array(["False", "True"]).take(pa.array(plain.view(np.int8), mask=mask))
    if plain.dtype.kind == "S":
        return pa.array(plain).cast(pa.string())
    if name in DECIMALS:
        return pa.array(plain, mask=mask).cast(pa.decimal128(18, DECIMALS[name]))
    return pa.array(plain, mask=mask)
