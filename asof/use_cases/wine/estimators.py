"""The estimators of wine. scikit-learn is imported when one is built; the service builds none."""

from typing import TYPE_CHECKING

from asof.features.feature_contract import FeatureContract
from asof.use_case import Estimator

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def default(_: FeatureContract, random_state: int) -> "BaseEstimator":
    """Multinomial logistic regression on standardised columns; the best of three penalties in five folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", LogisticRegression(max_iter=2000))]),
        {"model__C": [0.1, 1, 10]},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=random_state),
    )


def forest(_: FeatureContract, random_state: int) -> "BaseEstimator":
    """A forest of 100 trees."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, random_state=random_state, n_jobs=1)


ESTIMATORS = {
    "default": Estimator("", default, "multinomial logistic regression, its penalty chosen in five folds"),
    "forest": Estimator("", forest, "forest of 100 trees"),
}
