"""The data set, as scikit-learn ships it: 569 masses, 30 measurements of each, and what each was found to be.

Wolberg, Street and Mangasarian, Breast Cancer Wisconsin (Diagnostic), November 1995.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.feature_contract import Feature, FeatureContract

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
"""The documented order.

Of each quantity first the mean over the nuclei of a mass, then the standard error, then the mean of the three largest.
"""

CONTRACT = FeatureContract("", KEY, tuple(Feature(name, "", "Float64") for name in NAMES))


def rows() -> "pd.DataFrame":
    """Key, measurements and label: shape (569, 32), in the data set's own order."""
    from sklearn.datasets import load_breast_cancer

    loaded = load_breast_cancer(as_frame=True)
    measurements: pd.DataFrame = loaded.data
    keys = [f"wdbc-{number:03}" for number in range(len(measurements))]
    return measurements.assign(**{KEY: keys, LABEL: loaded.target == 1})
