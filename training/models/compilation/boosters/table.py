"""The converters of the libraries that are imported: a model of another one cannot be at hand."""

import sys
from collections.abc import Callable

from training.models.compilation.boosters import catboost, lightgbm, xgboost
from training.models.compilation.graph import Graph


def converters() -> dict[type, Callable[[Graph], None]]:
    """What adds the nodes of a fitted model, by its type."""
    libraries = {"lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost}
    return {
        getattr(sys.modules[name], type_): add
        for name, ours in libraries.items()
        if name in sys.modules
        for type_, add in ours.CONVERTERS.items()
    }
