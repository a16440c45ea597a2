"""Models of other libraries from the fit to the service, whose process cannot import the library."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from typing import Any

import bentoml
import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.model_selection import GridSearchCV
from xgboost import XGBClassifier

from asof.errors import ConfigurationError, ModelError
from asof.settings import Settings, export
from asof.use_case import Estimator, UseCase
from asof.use_cases import load
from tests.kits.service import serving as kit
from training.audit.reproduction.reproduce import reproduce
from training.features.datasets.dataset import build_training_set
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.fit import check_estimator, divide
from training.models.fitting.train import TrainedModel, train
from training.release.bundling.bundle import bundle
from training.release.gate.judge import judge_of
from training.release.promotion.promote import Promotion, promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion
from training.tracking.client import open_tracking

SERVED = """
import json, pathlib, sys
for name in ("lightgbm", "xgboost", "catboost", "sklearn", "skops"):
    sys.modules[name] = None  # an import of it raises
from asof.inference.served_model import load_model
from asof.settings import Settings
from asof.trust.signing_keys import trusted_keys
from asof.use_cases import load
folder, use_case, run_id = sys.argv[1:]
model = load_model(pathlib.Path(folder), load(use_case), trusted_keys(Settings()), run_id=run_id)
json.dump({"runtime": model.runtime.name, "answers": list(model.predict(json.load(sys.stdin)))}, sys.stdout)
"""


def lightgbm() -> Any:
    return LGBMClassifier(n_estimators=30, random_state=0)


def xgboost() -> Any:
    return XGBClassifier(n_estimators=30, random_state=0)


def catboost() -> Any:
    from catboost import CatBoostRegressor

    return CatBoostRegressor(iterations=200, random_state=0)


def use_case_with(name: str, build: Any) -> UseCase:
    return replace(load(name), estimators={"default": Estimator("", lambda *_: build(), "boosted trees")})


def promoted(settings: Settings, case: UseCase) -> tuple[TrainedModel, ModelVersion, Promotion]:
    """Trained, evaluated, registered, and judged by the whole gate."""
    training_set = build_training_set(settings, case, case.source.as_of)  # type: ignore[union-attr]
    trained = train(settings, case, training_set)
    version = register(settings, evaluate(settings, trained))
    return trained, version, promote(settings, version, judge=judge_of(settings, case, version))


@pytest.fixture(scope="module", autouse=True)
def _tracked(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    kit.bentoml_home(tmp_path_factory)
    export(settings)


@pytest.mark.parametrize(
    ("name", "build", "atol"),
    [
        ("breast_cancer", lightgbm, 1e-12),
        pytest.param("wine", xgboost, 2e-7, marks=pytest.mark.soak),
        pytest.param("diabetes", catboost, 1e-9, marks=pytest.mark.soak),
    ],
)
def test_a_model_of_another_library_is_served_without_it(
    settings: Settings, name: str, build: Any, atol: float
) -> None:
    case = use_case_with(name, build)
    trained, version, promotion = promoted(settings, case)
    assert promotion.promoted, promotion.criteria
    tag = bundle(settings, case, version).model_tag
    rows = trained.held_out.frame[trained.facts.contract.names].to_json(orient="records", double_precision=15)
    ran = subprocess.run(
        [sys.executable, "-c", SERVED, bentoml.models.get(tag).path, name, version.run_id],
        input=rows,
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    expected = trained.facts.output.of_estimator(trained.model, trained.held_out.features)
    assert found["runtime"] == "onnx"
    assert np.allclose(found["answers"], expected, rtol=0, atol=atol)
    again = reproduce(settings, case, version)
    assert again.agrees, again.verdict


def linear(**options: Any) -> Any:
    return LGBMClassifier(n_estimators=5, random_state=0, linear_tree=True, **options)


def test_what_would_not_compile_is_refused_before_a_run_begins(settings: Settings) -> None:
    case = replace(use_case_with("breast_cancer", linear), model_name="linear")
    training_set = build_training_set(settings, case, case.source.as_of)  # type: ignore[union-attr]
    sentence = (
        r"^LGBMClassifier does not compile \(LightGBM with linear_tree\), and the service's image has no lightgbm: "
        r"change the estimator, or add the package to pyproject\.toml's dependencies and run `make lock`\.$"
    )
    with pytest.raises(ModelError, match=sentence):
        train(settings, case, training_set)
    assert open_tracking(settings).get_experiment_by_name("linear") is None


def test_the_gate_refuses_what_the_image_cannot_load(settings: Settings) -> None:
    """A search whose base estimator compiles, and which finds another."""
    search = GridSearchCV(lightgbm(), {"linear_tree": [True], "n_estimators": [5]}, cv=2)
    case = replace(use_case_with("breast_cancer", lambda: search), model_name="found")
    _, version, promotion = promoted(settings, case)
    assert not promotion.promoted
    failed = {criterion.name: criterion.reason for criterion in promotion.criteria if not criterion.passed}
    assert failed["served bytes agree with the evaluated model"] == (
        "it is not compiled, as the run's tag `not_compiled` explains, and the service's image has no lightgbm: "
        "requirements/serve.txt does not list it"
    )
    tags = open_tracking(settings).get_run(version.run_id).data.tags
    assert tags["not_compiled"] == "LightGBM with linear_tree"
    assert tags["version.lightgbm"] == metadata.version("lightgbm")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("libgomp.so.1: cannot open shared object file: No such file or directory"), ConfigurationError),
        (FileNotFoundError(2, "No such file or directory", "weights.csv"), None),
    ],
    ids=["a library of the system", "a file of the use case's own"],
)
def test_a_library_that_does_not_import_is_told_apart_from_a_fault_of_the_use_case(
    settings: Settings, error: OSError, kind: type[Exception] | None
) -> None:
    def build() -> Any:
        raise error

    case = use_case_with("breast_cancer", build)
    sides = divide(case, build_training_set(settings, case, case.source.as_of))  # type: ignore[union-attr]
    if kind is None:  # the run will have it
        check_estimator(sides, random_state=0)
        return
    with pytest.raises(kind, match=r"needs a library that is not installed \(libgomp\.so\.1: .*\): install it"):
        check_estimator(sides, random_state=0)
