"""Two fits of the same model have one digest, in whatever process; any change of the model changes it."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import sklearn
import skops
import skops.io
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from asof.settings import PROJECT
from asof.trust.trusted_types import TRUSTED_TYPES
from tests.kits.models.training import SMALL, made_up_set, regression
from training.models.fitting.model_digest import file_digest, model_digest
from training.one_thread import one_thread

ROWS = made_up_set(300)
NUMBERS = ROWS.features[SMALL.numeric]


def forest() -> Any:
    return RandomForestClassifier(20, random_state=0, n_jobs=1).fit(NUMBERS, ROWS.labels)


def boosting() -> Any:
    return HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(NUMBERS, ROWS.labels)


def linear() -> Any:
    return regression(SMALL, 0).fit(ROWS.features, ROWS.labels)


KINDS: dict[str, Callable[[], Any]] = {"forest": forest, "boosting": boosting, "linear": linear}

IN_A_PROCESS = """
from tests.training.models.fitting import test_model_digest as kit
with kit.one_thread():
    print(kit.digests())
"""


def with_set() -> Any:
    """A model that holds a set of texts and something sparse."""
    model = LogisticRegression().fit(NUMBERS, ROWS.labels)
    model.names_ = {"one", "two", "three", "four", "five"}
    model.sparse_ = csr_matrix(np.eye(3))
    model.bytes_ = b"bytes"
    return model


def digests() -> dict[str, str]:
    return {name: model_digest(fit()) for name, fit in KINDS.items()} | {"set": model_digest(with_set())}


@pytest.fixture(scope="module")
def model() -> Any:
    return linear()


def test_fits_in_two_processes_have_the_same_digest() -> None:
    command, environment = [sys.executable, "-c", IN_A_PROCESS], {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    with one_thread():
        assert other.stdout.strip() == str(digests())


def test_the_bytes_of_the_files_differ(model: Any) -> None:
    """Else there was no need for a digest of our own."""
    assert skops.io.dumps(model) != skops.io.dumps(deepcopy(model))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_was_saved_and_loaded_has_the_same_digest(kind: str) -> None:
    model = KINDS[kind]()
    loaded = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    assert model_digest(loaded) == model_digest(model)


def test_what_is_one_object_or_two_equal_ones_is_no_part_of_it(model: Any) -> None:
    text = "".join(["l", "2"])
    copy = deepcopy(model)
    copy["model"].penalty_ = "l2"
    copy["model"].other_ = "l2"
    digest = model_digest(copy)
    copy["model"].other_ = text
    assert model_digest(copy) == digest


def test_the_version_that_wrote_the_file_is_no_part_of_it(model: Any) -> None:
    content = skops.io.dumps(model)
    assert b"_sklearn_version" in content
    assert file_digest(io.BytesIO(content)) == model_digest(model)
    changed = _with_schema(
        content, lambda schema: schema.replace(sklearn.__version__, "9.9").replace(skops.__version__, "9.9")
    )
    assert changed != content
    assert file_digest(io.BytesIO(changed)) == model_digest(model)


def _with_schema(content: bytes, edit: Callable[[str], str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as other:
        for name in archive.namelist():
            part = archive.read(name)
            other.writestr(name, edit(part.decode()) if name == "schema.json" else part)
    return written.getvalue()


def test_how_a_sparse_matrix_is_compressed_is_no_part_of_it() -> None:
    def stored(part: bytes) -> bytes:
        written = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(part)) as archive, zipfile.ZipFile(written, "w") as other:
            for name in archive.namelist():
                other.writestr(name, archive.read(name))
        return written.getvalue()

    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(with_set()))) as archive, zipfile.ZipFile(written, "w") as other:
        (sparse,) = [name for name in archive.namelist() if name.endswith(".npz")]
        for name in archive.namelist():
            part = archive.read(name)
            other.writestr(name, stored(part) if name == sparse else part)
        assert stored(archive.read(sparse)) != archive.read(sparse)
    assert file_digest(written) == model_digest(with_set())


def one_coefficient(model: Any) -> None:
    coefficients = model["model"].coef_
    coefficients[0, 1] = np.nextafter(coefficients[0, 1], np.inf)


def a_hyper_parameter(model: Any) -> None:
    model["model"].C = 1.0000000000000002


def an_integer_for_a_float(model: Any) -> None:
    model["model"].C = 1


def another_type_of_the_same_bytes(model: Any) -> None:
    model["model"].n_iter_ = model["model"].n_iter_.view(np.uint32)


def another_shape(model: Any) -> None:
    model["model"].intercept_ = model["model"].intercept_.reshape(1, 1)


def a_subclass(model: Any) -> None:
    model.__class__ = type("Pipeline", (Pipeline,), {"__module__": "elsewhere"})


def a_category(model: Any) -> None:
    model["columns"].named_transformers_["categories"].categories_[0][0] = "Monthly"


def the_order_of_the_columns(model: Any) -> None:
    model["columns"].feature_names_in_ = model["columns"].feature_names_in_[::-1].copy()


CHANGES = [one_coefficient, a_hyper_parameter, an_integer_for_a_float, another_shape]
CHANGES += [another_type_of_the_same_bytes, a_subclass, a_category, the_order_of_the_columns]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_one_change_of_the_model_changes_it(model: Any, change: Callable[[Any], None]) -> None:
    changed = deepcopy(model)
    assert model_digest(changed) == model_digest(model)
    change(changed)
    assert model_digest(changed) != model_digest(model)


def test_one_threshold_of_one_tree_changes_it() -> None:
    model = forest()
    state = model.estimators_[7].tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"]["threshold"][0] += 1e-9
    changed = deepcopy(model)
    changed.estimators_[7].tree_.__setstate__(state)
    assert model_digest(changed) != model_digest(model)


@pytest.mark.parametrize("part", ["names_", "sparse_", "bytes_"])
def test_sets_sparse_matrices_and_bytes_count_too(part: str) -> None:
    changed = with_set()
    value = {"names_": {"one"}, "sparse_": csr_matrix(2 * np.eye(3)), "bytes_": b"Bytes"}[part]
    setattr(changed, part, value)
    assert model_digest(changed) != model_digest(with_set())
