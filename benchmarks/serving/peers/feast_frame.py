"""A user's features through Feast's SDK, as the one-row frame that a model takes."""

import os

import pandas as pd
from feast import FeatureStore
from mlflow.pyfunc import PyFuncModel

from asof.settings import PROJECT


class FeastFrame:
    """The store is opened, and the feature service fetched, once; the model's own signature says columns and types."""

    def __init__(self, model: PyFuncModel) -> None:
        self._store = FeatureStore(repo_path=str(PROJECT / "feature_repo"))
        self._service = self._store.get_feature_service(os.environ["BENCHMARK_FEATURE_SERVICE"])
        schema = model.metadata.get_input_schema()
        self._columns = schema.input_names()
        self._numbers = [column.name for column in schema if column.type.name == "double"]

    def of(self, users: list[str]) -> pd.DataFrame:
        """One row a user, in this order."""
        rows = [{"user_id": user} for user in users]
        frame = self._store.get_online_features(features=self._service, entity_rows=rows).to_df()
        given: pd.DataFrame = frame[self._columns].astype(dict.fromkeys(self._numbers, "float64"))
        return given
