"""A small registered model, bundled once for all modules that ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings, export
from asof.use_cases import load
from tests.kits.machine.databases import copy_features, copy_models, fresh
from tests.kits.service import serving as kit
from training.features.materialisation.feature_registry import apply_features
from training.release.bundling.bundle import Bundle, bundle


@dataclass(frozen=True)
class SmallModel:
    """A bundled model, the estimator inside, and its features."""

    bundle: Bundle
    estimator: Any
    contract: FeatureContract


@pytest.fixture(scope="module")
def bentoml_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BentoML store of this process."""
    return kit.bentoml_home(tmp_path_factory)


@pytest.fixture(scope="session")
def bundled_once(
    server: Settings, mlflow_tables: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, SmallModel]]:
    """Features applied, a model trained on made-up users, registered and bundled; to be copied."""
    kit.bentoml_home(tmp_path_factory)
    with fresh(server, tmp_path_factory.mktemp("bundled-once"), mlflow_tables) as settings:
        export(settings)
        apply_features(settings)
        contract = kit.registered_contract(settings)
        version, estimator = kit.register_small_model(settings, contract)
        yield settings, SmallModel(bundle(settings, load("churn"), version), estimator, contract)


@pytest.fixture(scope="module")
def small_model(settings: Settings, bentoml_home: Path, bundled_once: tuple[Settings, SmallModel]) -> SmallModel:
    """The same in the module's own databases and home."""
    origin, model = bundled_once
    copy_features(origin, settings)
    copy_models(origin, settings)
    export(settings)
    return model
