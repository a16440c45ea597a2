"""Regressors of scikit-learn, and what becomes of each."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn import compose, dummy, ensemble, linear_model, neighbors, neural_network, preprocessing, svm, tree

from tests.kits.estimators.problems import (
    COMPILED,
    NEIGHBOURS,
    SCIKIT_LEARN,
    Case,
    on_all_columns,
    regression_tree,
    scaled,
)


def regressors() -> Iterator[Case]:
    """For a number."""
    parts = [("sum", linear_model.Ridge()), ("tree", regression_tree())]
    sums = (
        "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV Lars LassoLars OrthogonalMatchingPursuit "
        "BayesianRidge ARDRegression HuberRegressor QuantileRegressor SGDRegressor PoissonRegressor GammaRegressor "
        "TweedieRegressor RANSACRegressor"
    )
    known: Mapping[str, Any] = {
        **{name: scaled(getattr(linear_model, name)()) for name in sums.split()},
        "TheilSenRegressor": linear_model.TheilSenRegressor(max_subpopulation=20, random_state=0),
        "TweedieRegressor(power=1.5)": scaled(linear_model.TweedieRegressor(power=1.5)),
        "DecisionTreeRegressor": regression_tree(),
        "ExtraTreeRegressor": tree.ExtraTreeRegressor(max_depth=3, random_state=0),
        "RandomForestRegressor": ensemble.RandomForestRegressor(6, random_state=0),
        "ExtraTreesRegressor": ensemble.ExtraTreesRegressor(6, random_state=0),
        "GradientBoostingRegressor": ensemble.GradientBoostingRegressor(n_estimators=5),
        "GradientBoostingRegressor(loss='quantile')": ensemble.GradientBoostingRegressor(
            n_estimators=5, loss="quantile"
        ),
        "HistGradientBoostingRegressor": ensemble.HistGradientBoostingRegressor(max_iter=5),
        "HistGradientBoostingRegressor(loss='gamma')": ensemble.HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
        "HistGradientBoostingRegressor(categorical_features=...)": ensemble.HistGradientBoostingRegressor(
            max_iter=5, categorical_features=[0, 4]
        ),
        "AdaBoostRegressor": ensemble.AdaBoostRegressor(n_estimators=5, random_state=0),
        "BaggingRegressor": ensemble.BaggingRegressor(n_estimators=3, max_features=0.7, random_state=0),
        "VotingRegressor": ensemble.VotingRegressor(parts, weights=[1, 2]),
        "StackingRegressor": ensemble.StackingRegressor(parts, cv=2, passthrough=True),
        "MLPRegressor": scaled(neural_network.MLPRegressor(hidden_layer_sizes=(6,), max_iter=20, random_state=0)),
        "MLPRegressor(loss='poisson')": scaled(
            neural_network.MLPRegressor(loss="poisson", hidden_layer_sizes=(6,), max_iter=20, random_state=0)
        ),
        "LinearSVR": scaled(svm.LinearSVR()),
        "SVR": scaled(svm.SVR()),
        "NuSVR(kernel='linear')": scaled(svm.NuSVR(kernel="linear")),
        "TransformedTargetRegressor(func=numpy.log1p, inverse_func=numpy.expm1)": compose.TransformedTargetRegressor(
            linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
        ),
        "TransformedTargetRegressor(transformer=StandardScaler())": compose.TransformedTargetRegressor(
            linear_model.Ridge(), transformer=preprocessing.StandardScaler()
        ),
        "DummyRegressor": dummy.DummyRegressor(),
    }
    yield from (Case(title, on_all_columns(model), COMPILED) for title, model in known.items())
    others: Mapping[str, tuple[Any, str]] = {
        "KNeighborsRegressor": (
            scaled(neighbors.KNeighborsRegressor()),
            f"{SCIKIT_LEARN}KNeighborsRegressor has no converter: {NEIGHBOURS}",
        ),
        "TransformedTargetRegressor of another transformer": (
            compose.TransformedTargetRegressor(
                linear_model.Ridge(), transformer=preprocessing.QuantileTransformer(n_quantiles=20)
            ),
            f"{SCIKIT_LEARN}TransformedTargetRegressor with QuantileTransformer",
        ),
        "AdaBoostRegressor of another model than a tree": (
            ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=2, random_state=0),
            f"{SCIKIT_LEARN}AdaBoostRegressor of Ridge",
        ),
    }
    yield from (Case(title, on_all_columns(model), outcome) for title, (model, outcome) in others.items())
