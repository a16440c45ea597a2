"""Models of three estimators, trained and evaluated once for every module of this folder."""

from collections.abc import Iterator, Mapping

import pytest

from asof.settings import Settings, export
from tests.kits.machine.databases import copy_features, copy_models, fresh
from tests.kits.models.promotion import evaluated
from training.models.evaluation.evaluate import Evaluation

Evaluated = tuple[Settings, Mapping[str, Evaluation]]


@pytest.fixture(scope="session")
def evaluated_once(
    server: Settings, mlflow_tables: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evaluated]:
    with fresh(server, tmp_path_factory.mktemp("evaluated-once"), mlflow_tables) as settings:
        yield settings, evaluated(settings)


@pytest.fixture(scope="module")
def evaluations(settings: Settings, evaluated_once: Evaluated) -> Mapping[str, Evaluation]:
    """The evaluations, in the module's own databases and home."""
    origin, evaluations = evaluated_once
    copy_features(origin, settings)
    copy_models(origin, settings)
    export(settings)
    return evaluations
