"""What a model file may hold: library classes, and no type that is not on the project's own list."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid

from asof.errors import ModelError, UntrustedModel
from asof.trust.trusted_types import TRUSTED_TYPES, load_trusted
from tests.kits.models.training import CHURN, set_of_any, streamflow_contract
from training.one_thread import one_thread


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file of each kind of model that an estimator of churn can turn out to be."""
    folder = tmp_path_factory.mktemp("models")
    paths = []
    for name, estimator in CHURN.estimators.items():
        contract = streamflow_contract(estimator.feature_service)
        rows = set_of_any(contract)
        for kind, model in _kinds(estimator.build(contract, 42)).items():
            paths.append(folder / f"{name} {kind}.skops")
            with one_thread():
                skops.io.dump(model.fit(rows.features, rows.labels), paths[-1])
    return paths


def _kinds(model: Any) -> dict[str, Any]:
    """The model, or of a search one candidate of each kind."""
    if not isinstance(model, GridSearchCV):
        return {"only": model}
    candidates = [clone(model.estimator).set_params(**params) for params in ParameterGrid(model.param_grid)]
    return {str([type(step).__name__ for step in _steps(each)]): each for each in candidates}


def _steps(pipeline: Any) -> list[Any]:
    return [pipeline["model"], pipeline["scale"], *(part for _, part, _ in pipeline["columns"].transformers)]


def test_every_model_is_saved_as_library_classes(saved: list[Path]) -> None:
    assert len(saved) == 4
    for path in saved:
        schema = zipfile.ZipFile(path).read("schema.json").decode()
        modules = {module.partition(".")[0] for module in re.findall(r'"__module__": "([^"]+)"', schema)}
        assert {"sklearn", "numpy"} <= modules <= {"builtins", "collections", "numpy", "scipy", "sklearn"}


def test_skops_trusts_the_same_types_without_what_scikit_learn_loads_for_others() -> None:
    types = "import skops.io._trusted_types as types; print(sorted(types.SKLEARN_ESTIMATOR_TYPE_NAMES))"
    ours = "import sys; from asof.trust.trusted_types import import_skops; import_skops()"
    words = [types, f"{ours}; assert 'dask' not in sys.modules; {types}; import dask, pytest"]
    plain, light = (subprocess.check_output([sys.executable, "-c", code], text=True) for code in words)
    assert plain == light


def test_every_model_holds_trusted_types(saved: list[Path]) -> None:
    """`tests/training/models/fitting/test_estimators.py` shows what each of them is needed for."""
    assert {name for path in saved for name in skops.io.get_untrusted_types(file=path)} <= set(TRUSTED_TYPES)


def test_every_model_can_be_loaded_again(saved: list[Path]) -> None:
    assert {type(load_trusted(path.read_bytes())).__name__ for path in saved} == {"Pipeline"}


@pytest.mark.parametrize("name", sorted(CHURN.estimators))
def test_the_same_rows_give_the_same_model_to_the_last_digit(name: str) -> None:
    contract = streamflow_contract(CHURN.estimators[name].feature_service)
    rows = set_of_any(contract, 200)
    with one_thread():
        first, second = (CHURN.estimators[name].build(contract, 7).fit(rows.features, rows.labels) for _ in range(2))
    assert np.array_equal(first.predict_proba(rows.features), second.predict_proba(rows.features))
    if isinstance(first, GridSearchCV):
        assert np.array_equal(first.cv_results_["mean_test_score"], second.cv_results_["mean_test_score"])


def test_a_model_of_another_library_is_loaded_without_code_or_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = set_of_any(streamflow_contract("churn_v1"), 100)
    numbers = rows.features[rows.contract.numeric]
    model = LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(numbers, rows.labels)
    content = skops.io.dumps(model)
    assert np.array_equal(load_trusted(content).predict_proba(numbers), model.predict_proba(numbers))  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=r"needs a library that is not installed \(.*lightgbm.*\): install it"):
        load_trusted(content)


def test_an_objective_of_the_use_case_is_not_trusted() -> None:
    rows = set_of_any(streamflow_contract("churn_v1"), 100)
    numbers = rows.features[rows.contract.numeric]
    model = LGBMClassifier(n_estimators=1, n_jobs=1, verbose=-1, objective=squares).fit(numbers, rows.labels)
    with pytest.raises(UntrustedModel, match=r"not trusted: .*test_trusted_models\.squares"):
        load_trusted(skops.io.dumps(model))


def squares(labels: Any, predicted: Any) -> tuple[Any, Any]:
    return predicted - labels, np.ones_like(predicted)
