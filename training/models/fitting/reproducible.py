"""Estimators of LightGBM, XGBoost and CatBoost: the same rows give the same model, in one thread and without output."""

from collections.abc import Iterator, Mapping
from typing import Any

WANTED: Mapping[str, Mapping[str, Any]] = {
    "lightgbm": {"n_jobs": 1, "deterministic": True, "force_col_wise": True, "verbose": -1},
    "xgboost": {"n_jobs": 1},
    "catboost": {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False},
}
"""Parameters by library that `make_reproducible` sets where they are open. Without them LightGBM measures which way of
summing is faster, all take every processor, LightGBM and CatBoost print to standard output, and CatBoost writes a
folder."""
SAME = {
    "force_col_wise": ("force_row_wise",),
    "verbose": ("verbosity",),
    "logging_level": ("verbose", "silent", "verbose_eval"),
}
"""Other parameters that decide the same."""
VOLATILE = ("model_guid", "train_finish_time")
"""CatBoost's metadata of each fit, on which no prediction depends."""


def make_reproducible(estimator: Any) -> Any:
    """The estimator; each booster in it has the parameters above that the use case left open."""
    for each in _estimators(estimator):
        if wanted := _wanted(each):
            given = {name for name, value in each.get_params(deep=False).items() if value is not None}
            each.set_params(
                **{name: value for name, value in wanted.items() if not given & {name, *SAME.get(name, ())}}
            )
    return estimator


def forget_when(model: Any) -> Any:
    """The fitted model, in which CatBoost's metadata has neither the moment of the fit nor a random number."""
    for each in _estimators(model):
        if _library(each) == "catboost":
            metadata = each.get_metadata()
            for name in VOLATILE:
                metadata[name] = ""
    return model


def _wanted(estimator: Any) -> Mapping[str, Any]:
    return WANTED.get(_library(estimator), {})


def _library(part: Any) -> str:
    return type(part).__module__.partition(".")[0]


def _estimators(part: Any) -> Iterator[Any]:
    """The estimators in an estimator, in its parameters and attributes, and in their lists and dictionaries."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list | tuple):
        for each in part:
            yield from _estimators(each)
    elif hasattr(part, "get_params") and not isinstance(part, type):
        yield part
        if not _wanted(part):  # a booster holds no other
            yield from _estimators(vars(part))
