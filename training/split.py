"""Which entities are held out: decided by the entity alone, so that a user is on the same side in every month."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SALT = b"asof-split-47:"
"""The best balanced of the salts 1 to 100: on the real January, the Mahalanobis distance between both sides' means of
label and churn_v2 features is the smallest (rerandomisation: Morgan and Rubin, Annals of Statistics 40, 2012)."""


def held_out(entities: "pd.Series[str]", share: float) -> NDArray[np.bool_]:
    """n booleans: whether each entity is held out. `share` (0 to 1) is the expected part that is.

    An entity is held out where the first eight bytes of SHA-256 over its key, as a fraction of 2^64, lie below
    `share`: no seed, no state, no dependence on the other entities.
    """
    return np.array([_fraction(entity) < share for entity in entities], dtype=np.bool_)


def _fraction(entity: str) -> float:
    return int.from_bytes(hashlib.sha256(SALT + entity.encode()).digest()[:8], "big") / 2**64
