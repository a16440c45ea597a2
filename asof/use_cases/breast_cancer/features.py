"""Columns derived from the measurements, in training and in serving alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def radius_times_texture(measurements: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Mean radius times mean texture, shape (rows,): are large nuclei of uneven colour worse than each by itself?"""
    return np.asarray(measurements["mean radius"] * measurements["mean texture"], dtype=np.float64)


DERIVED = {"mean radius x mean texture": radius_times_texture}
