"""What every peer stands on: the same users, the same features in the online store, the same two models.

`prepared(settings)` makes it in a process of its own, so that this one never imports what it measures; `World` says
where everything lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asof.settings import PROJECT, Settings
from benchmarks.processes import run_json

FOREST, DEFAULT = "forest", "default"
VARIANTS = ("forest-all", "forest-one", "default")
"""The models as peers load them: the forest with n_jobs=-1 and with n_jobs=1, and the default one."""

FEATURE_SERVICES = {FOREST: "churn_v1", DEFAULT: "churn_v2"}
WIDE_TABLE = "benchmark_wide"
OWN_STORE, STOCK_STORE = "online_store.store.WideOnlineStore", "postgres"
"""Feast's types of both online stores: all peers but our service read the stock one."""
STREAMFLOW = PROJECT.parent / "shared" / "data" / "streamflow"


@dataclass(frozen=True)
class World:
    """`models` are MLflow's folders by variant, `imported` the same in BentoML's store; `bentos` the Bentos by model,
    and `compiled` the file of the compiled model in each, where there is one.

    `requests` are files with one JSON body a line, by form; the users are the same, in the same order. `expected` is,
    for each model, what it says of the first of them.
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

    def environment(self) -> dict[str, str]:
        """What a peer's process needs."""
        return {**self.settings.environment(), "BENTOML_HOME": str(self.folder / "bentoml"), "PYTHONPATH": str(PROJECT)}

    def first(self, form: str, count: int = 3) -> list[bytes]:
        """The first requests of a form."""
        return Path(self.requests[form]).read_bytes().splitlines()[:count]


def model_of(variant: str) -> str:
    """The model that the variant is one of."""
    return FOREST if variant.startswith(FOREST) else DEFAULT


def prepared(settings: Settings, folder: Path, *, users: int = 0, variants: Sequence[str] = VARIANTS) -> World:
    """Loads the extracts, trains the models and builds their Bentos; takes about a minute.

    The settings of the World name Feast's stock online store; ours holds the same. `users` is how many are
    simulated (0: the real extracts where they are there, or else as many as they have).
    """
    settings = settings.model_copy(update={"online_store": STOCK_STORE})
    environment = {**settings.environment(), "BENTOML_HOME": str(folder / "bentoml")}
    told: dict[str, Any] = run_json(environment, "benchmarks.serving.prepare", str(folder), str(users), *variants)
    return World(settings=settings, folder=folder, **told)
