"""The converters of the libraries that are imported: a model of another one cannot be at hand."""

import sys
from collections.abc import Callable, Mapping

from training.models.compilation.boosters import catboost, lightgbm, xgboost
from training.models.compilation.graph import Graph

PARTS: Mapping[str, Mapping[str, Callable[[Graph], None]]] = {
    "catboost": {"CatBoostClassifier": catboost.classifier, "CatBoostRegressor": catboost.regressor},
    "lightgbm": {"LGBMClassifier": lightgbm.classifier, "LGBMRegressor": lightgbm.regressor},
    "xgboost": {"XGBClassifier": xgboost.classifier, "XGBRegressor": xgboost.regressor},
}


def parts() -> dict[type, Callable[[Graph], None]]:
    """What adds the nodes of a fitted model, by its type."""
    imported = {name: sys.modules[name] for name in PARTS if name in sys.modules}
    return {getattr(module, type_): add for name, module in imported.items() for type_, add in PARTS[name].items()}


def scores() -> dict[type, Callable[[Graph], str]]:
    """What gives a classifier's `decision_function`, by its type; XGBoost's and CatBoost's have none."""
    return {sys.modules["lightgbm"].LGBMClassifier: lightgbm.scores} if "lightgbm" in sys.modules else {}
