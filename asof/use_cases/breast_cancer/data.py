"""The data set of scikit-learn: 569 masses with 30 measurements and a diagnosis each.

Wolberg, Street and Mangasarian, Breast Cancer Wisconsin (Diagnostic), November 1995.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.features.feature_contract import Feature, FeatureContract

if TYPE_CHECKING:
    import pandas as pd

AS_OF = datetime(1995, 11, 1, tzinfo=UTC)
KEY, LABEL = "sample", "benign"
CLASSES = ("malignant", "benign")

QUANTITIES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
NAMES = (
    *(f"mean {quantity}" for quantity in QUANTITIES),
    *(f"{quantity} error" for quantity in QUANTITIES),
    *(f"worst {quantity}" for quantity in QUANTITIES),
)
"""In the documented order: means over the nuclei of a mass, their standard errors, and means of the three largest."""

EXAMPLE = (
    *(17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871),
    *(1.095, 0.9053, 8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193),
    *(25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189),
)
EXAMPLE_CLASS = "malignant"
"""The first mass of the data set and its diagnosis."""

CONTRACT = FeatureContract("", KEY, tuple(Feature(name, "", "Float64") for name in NAMES))


def rows() -> "pd.DataFrame":
    """Key, measurements and label: shape (569, 32), in the data set's order."""
    from sklearn.datasets import load_breast_cancer

    loaded = load_breast_cancer(as_frame=True)
    measurements: pd.DataFrame = loaded.data
    keys = [f"wdbc-{number:03}" for number in range(len(measurements))]
    return measurements.assign(**{KEY: keys, LABEL: loaded.target == 1})
