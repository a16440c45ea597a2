"""The ways to fit a churn model. scikit-learn is imported when a model is built: the service does not need this file."""

from typing import TYPE_CHECKING

from asof.feature_contract import FeatureContract
from asof.use_case import Estimator

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def seed_baseline(contract: FeatureContract, random_state: int) -> "ClassifierMixin":
    """The known baseline: a forest of 300 balanced trees, square root of the features at each split."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("categories", encode, contract.categories)], remainder="passthrough")
    forest = RandomForestClassifier(
        300, class_weight="balanced", max_features="sqrt", random_state=random_state, n_jobs=1
    )
    return Pipeline([("columns", columns), ("forest", forest)])


ESTIMATORS = {
    "seed-baseline": Estimator("churn_v1", seed_baseline, "forest of 300 balanced trees on the fourteen features"),
}
