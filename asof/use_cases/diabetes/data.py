"""The data set of scikit-learn: 442 patients with ten measurements and the progression after a year.

Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, Annals of Statistics 32 (2), April 2004.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.features.feature_contract import Feature, FeatureContract

if TYPE_CHECKING:
    import pandas as pd

AS_OF = datetime(2004, 4, 1, tzinfo=UTC)
KEY, LABEL = "patient", "progression"
UNIT = "points of progression"

NAMES = {
    "age": "Age in years.",
    "sex": "As coded in the data set: 1 or 2.",
    "bmi": "Body mass index, kg/m2.",
    "bp": "Mean blood pressure, mm Hg.",
    "s1": "Total serum cholesterol, mg/dl.",
    "s2": "Low-density lipoproteins, mg/dl.",
    "s3": "High-density lipoproteins, mg/dl.",
    "s4": "Total cholesterol over high-density lipoproteins.",
    "s5": "Logarithm of serum triglycerides.",
    "s6": "Blood sugar, mg/dl.",
}
"""In the documented order."""

EXAMPLE = (59.0, 2.0, 32.1, 101.0, 157.0, 93.2, 38.0, 4.0, 4.8598, 87.0)
EXAMPLE_VALUE = 151.0
"""The first patient of the data set, and the progression after a year."""

CONTRACT = FeatureContract("", KEY, tuple(Feature(name, "", "Float64") for name in NAMES))


def rows() -> "pd.DataFrame":
    """Key, measurements in their own units and label: shape (442, 12), in the data set's order."""
    from sklearn.datasets import load_diabetes

    loaded = load_diabetes(as_frame=True, scaled=False)
    measurements: pd.DataFrame = loaded.data.astype("float64")
    keys = [f"patient-{number:03}" for number in range(len(measurements))]
    return measurements.assign(**{KEY: keys, LABEL: loaded.target})
