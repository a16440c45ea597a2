"""What identifies a training set: SHA-256 over what defined it and over every cell."""

import hashlib
import json
from datetime import datetime

import pandas as pd

from asof.feature_contract import FeatureContract


def fingerprint(frame: pd.DataFrame, contract: FeatureContract, as_of: datetime) -> str:
    """SHA-256 over the moment, the contract and every cell, column by column; a missing cell is its own value.

    `frame` must be in its canonical order of rows and columns, with its canonical types.
    """
    digest = hashlib.sha256(json.dumps([as_of.isoformat(), contract.to_dict()], sort_keys=True).encode())
    for name in frame:
        cells = ["" if missing else repr(value) for value, missing in zip(frame[name], frame[name].isna(), strict=True)]
        digest.update("\x1f".join([str(name), *cells, "\x1e"]).encode())
    return digest.hexdigest()
