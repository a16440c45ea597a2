"""Rows and labels for LightGBM, XGBoost and CatBoost, and small models of each."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from xgboost import XGBClassifier, XGBRegressor

from asof.targets import BinaryOutput, MulticlassOutput, RegressionOutput
from training.models.fitting.reproducible import make_reproducible

ROWS = 3000
TWO, THREE = BinaryOutput(0.5), MulticlassOutput(("low", "middle", "high"))
NUMBER = RegressionOutput("hours", margin=1.0, coverage=0.9)


def features() -> pd.DataFrame:
    """Numbers with and without gaps, rounded ones, many zeros, some next to zero, and large ones."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(ROWS, 5)), columns=["plain", "gaps", "steps", "zeros", "wide"])
    table.loc[::7, "gaps"] = np.nan
    table["steps"] = table["steps"].round(1)
    table.loc[generator.random(ROWS) < 0.4, "zeros"] = 0.0
    table.loc[::50, "zeros"] = np.tile([1e-36, -1e-36, 1e-34, -1e-34], ROWS // 200)
    table.loc[::11, "wide"] *= 1e20
    return table


FEATURES = features()
TOTAL = (FEATURES["plain"] + FEATURES["gaps"].fillna(1) * FEATURES["steps"] + (FEATURES["zeros"] == 0)).to_numpy()
NOISY = TOTAL + np.random.default_rng(1).normal(size=ROWS)
LABELS = {
    "two": (NOISY > 0).astype(int),
    "three": np.digitize(NOISY, [-0.5, 0.9]),
    "number": NOISY,
    "counts": np.exp(NOISY / 3),
}


def fitted(model: Any, labels: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options that LightGBM takes by other names
        return make_reproducible(model).fit(FEATURES, LABELS[labels])


def lightgbm(labels: str, **options: Any) -> Any:
    kind = LGBMClassifier if labels in ("two", "three") else LGBMRegressor
    return kind(n_estimators=20, random_state=0, **options)


def xgboost(labels: str, **options: Any) -> Any:
    kind = XGBClassifier if labels in ("two", "three") else XGBRegressor
    return kind(n_estimators=20, random_state=0, **options)


def catboost(labels: str, **options: Any) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostClassifier if labels in ("two", "three") else CatBoostRegressor
    return kind(iterations=20, random_state=0, **options)


def name(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{option}={chosen}" for option, chosen in value.items()) or "plain"
    return value.__name__ if callable(value) else str(value)
