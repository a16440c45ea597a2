"""A small registered model, bundled once for each module that asks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings, export
from asof.use_cases import load
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


@pytest.fixture(scope="module")
def small_model(settings: Settings, bentoml_home: Path) -> SmallModel:
    """Features applied, a model trained on made-up users, registered and bundled."""
    export(settings)
    apply_features(settings)
    contract = kit.registered_contract(settings)
    version, estimator = kit.register_small_model(settings, contract)
    return SmallModel(bundle(settings, load("churn"), version), estimator, contract)
