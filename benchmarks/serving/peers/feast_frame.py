"""Features of users through Feast's SDK, as a frame for the model."""

import os

import pandas as pd
from feast import FeatureStore
from mlflow.pyfunc import PyFuncModel

from asof.settings import PROJECT, Settings
from benchmarks.environments.redis_store import ADDRESS, open_redis


class FeastFrame:
    """Opens the store and fetches the feature service once; columns and types are those of the model's signature."""

    def __init__(self, model: PyFuncModel) -> None:
        self._store = _open()
        self._service = self._store.get_feature_service(os.environ["BENCHMARK_FEATURE_SERVICE"])
        schema = model.metadata.get_input_schema()
        self._columns = schema.input_names()
        self._numbers = [column.name for column in schema if column.type.name == "double"]

    def read(self, users: list[str]) -> pd.DataFrame:
        """One row for each user, in this order."""
        rows = [{"user_id": user} for user in users]
        frame = self._store.get_online_features(features=self._service, entity_rows=rows).to_df()
        typed: pd.DataFrame = frame[self._columns].astype(dict.fromkeys(self._numbers, "float64"))
        return typed


def _open() -> FeatureStore:
    """On the Redis server of the environment, or on the stock store of feature_store.yaml."""
    address = os.environ.get(ADDRESS)
    return open_redis(Settings(), address) if address else FeatureStore(repo_path=str(PROJECT / "feature_repo"))
