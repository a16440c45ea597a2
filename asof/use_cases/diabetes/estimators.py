"""The estimators of diabetes. scikit-learn is imported when one is built; the service builds none."""

from typing import TYPE_CHECKING

from asof.features.feature_contract import FeatureContract
from asof.use_case import Estimator

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def default(_: FeatureContract, random_state: int) -> "BaseEstimator":
    """Ridge regression on standardised columns; the best of four penalties in five folds, by the absolute error."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", Ridge())]),
        {"model__alpha": [1.0, 10.0, 30.0, 100.0]},
        scoring="neg_mean_absolute_error",
        cv=KFold(5, shuffle=True, random_state=random_state),
    )


def boosting(_: FeatureContract, random_state: int) -> "BaseEstimator":
    """Histogram boosting of small trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=4, early_stopping=False, random_state=random_state)


ESTIMATORS = {
    "default": Estimator("", default, "ridge regression, its penalty chosen in five folds"),
    "boosting": Estimator("", boosting, "histogram boosting of 60 small trees"),
}
