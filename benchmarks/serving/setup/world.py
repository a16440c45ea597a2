"""The same users, features in the online store and models for all peers.

`prepared(settings)` makes them in a process of its own, so that this one does not import what it measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asof.settings import PROJECT, Settings
from benchmarks.environments.redis_store import ADDRESS
from benchmarks.processes import run_json

FOREST, DEFAULT = "forest", "default"
VARIANTS = ("forest-all", "forest-one", "default")
"""The models as peers load them: the forest with n_jobs=-1 and n_jobs=1, and the default model."""

FEATURE_SERVICES = {FOREST: "churn_v1", DEFAULT: "churn_v2"}
WIDE_TABLE = "benchmark_wide"
JOBLIB = "model.joblib"
"""The model again in MLflow's folder, as MLServer's scikit-learn runtime reads it."""
OWN_STORE, STOCK_STORE = "online_store.store.WideOnlineStore", "postgres"
"""Feast's types of the online stores: all peers but our service read the stock one."""
STREAMFLOW = PROJECT.parent / "shared" / "data" / "streamflow"


@dataclass(frozen=True)
class World:
    """`models` are MLflow's folders by variant, and `imported` the same models' tags in BentoML's store.

    By model: `bentos` are tags, `compiled` the files of compiled models, `expected` the probabilities of the first
    users. `requests` are files by form, with one JSON body a line, for the same users in the same order. `redis` is the
    address of a Redis with the features, for peers that read one.
    """

    settings: Settings
    folder: Path
    users: int
    models: Mapping[str, str]
    imported: Mapping[str, str]
    bentos: Mapping[str, str]
    compiled: Mapping[str, str]
    requests: Mapping[str, str]
    expected: Mapping[str, list[float]]
    redis: str = ""

    def environment(self) -> dict[str, str]:
        """For the process of a peer."""
        own = {"BENTOML_HOME": str(self.folder / "bentoml"), "PYTHONPATH": str(PROJECT), ADDRESS: self.redis}
        return {**self.settings.environment(), **own}

    def first(self, form: str, count: int = 3) -> list[bytes]:
        """The first requests of a form."""
        return Path(self.requests[form]).read_bytes().splitlines()[:count]


def model_of(variant: str) -> str:
    """The model that the variant is one of."""
    return FOREST if variant.startswith(FOREST) else DEFAULT


def prepared(settings: Settings, folder: Path, *, users: int = 0, variants: Sequence[str] = VARIANTS) -> World:
    """Loads the extracts, trains the models and builds their Bentos, in about a minute.

    The settings of the World name Feast's stock online store; ours has the same features. `users` are simulated (0: the
    real extracts if they exist, or else as many users as they have).
    """
    settings = settings.model_copy(update={"online_store": STOCK_STORE})
    environment = {**settings.environment(), "BENTOML_HOME": str(folder / "bentoml")}
    fields: dict[str, Any] = run_json(
        environment, "benchmarks.serving.setup.prepare", str(folder), str(users), *variants
    )
    return World(settings=settings, folder=folder, **fields)
