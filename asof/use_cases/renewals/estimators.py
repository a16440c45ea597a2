"""The estimators of Renewals. scikit-learn is imported when one is built; the service builds none."""

from typing import TYPE_CHECKING

from asof.features.feature_contract import FeatureContract
from asof.use_case import Estimator

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def default(contract: FeatureContract, random_state: int) -> "ClassifierMixin":
    """Gradient boosting on one-hot categories; a missing number is a value of its own."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("categories", encode, contract.categories)], remainder="passthrough")
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=150, max_leaf_nodes=8, early_stopping=False, random_state=random_state
    )
    return Pipeline([("columns", columns), ("model", boosting)])


ESTIMATORS = {"default": Estimator("renewals_v1", default, "gradient boosting on all features")}
