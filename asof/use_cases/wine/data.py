"""The data set of scikit-learn: 178 wines of three cultivars with 13 measurements each.

Aeberhard and Forina, Wine, July 1991.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.features.feature_contract import Feature, FeatureContract

if TYPE_CHECKING:
    import pandas as pd

AS_OF = datetime(1991, 7, 1, tzinfo=UTC)
KEY, LABEL = "bottle", "cultivar"
CLASSES = ("barolo", "grignolino", "barbera")

NAMES = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280_od315",
    "proline",
)
"""In the documented order."""

EXAMPLE = (14.23, 1.71, 2.43, 15.6, 127.0, 2.8, 3.06, 0.28, 2.29, 5.64, 1.04, 3.92, 1065.0)
EXAMPLE_CLASS = "barolo"
"""The first wine of the data set and its cultivar."""

CONTRACT = FeatureContract("", KEY, tuple(Feature(name, "", "Float64") for name in NAMES))


def rows() -> "pd.DataFrame":
    """Key, measurements and label: shape (178, 15), in the data set's order."""
    from sklearn.datasets import load_wine

    loaded = load_wine(as_frame=True)
    measurements: pd.DataFrame = loaded.data.set_axis(NAMES, axis="columns")
    keys = [f"wine-{number:03}" for number in range(len(measurements))]
    return measurements.assign(**{KEY: keys, LABEL: [CLASSES[code] for code in loaded.target]})
