"""A small model, trained and registered once for all modules that ask."""

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
from training.release.registry.versions import ModelVersion


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


@dataclass(frozen=True)
class Registered:
    """The small model's version in databases of its own, which are to be copied."""

    settings: Settings
    version: ModelVersion
    estimator: Any
    contract: FeatureContract


@pytest.fixture(scope="session")
def registered_once(
    server: Settings, mlflow_tables: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registered]:
    """Features applied, a model trained on made-up users and registered."""
    with fresh(server, tmp_path_factory.mktemp("registered-once"), mlflow_tables) as settings:
        export(settings)
        apply_features(settings)
        contract = kit.registered_contract(settings)
        yield Registered(settings, *kit.register_small_model(settings, contract), contract)


@pytest.fixture(scope="module")
def small_model(settings: Settings, bentoml_home: Path, registered_once: Registered) -> SmallModel:
    """The same in the module's own databases and home; its Bento is built where the process has none of it."""
    return copied(registered_once, settings)


def copied(registered: Registered, settings: Settings) -> SmallModel:
    """The small model in these databases and this home, which must be `fresh`, bundled."""
    copy_features(registered.settings, settings)
    copy_models(registered.settings, settings)
    export(settings)
    built = bundle(settings, load("churn"), registered.version)
    return SmallModel(built, registered.estimator, registered.contract)
