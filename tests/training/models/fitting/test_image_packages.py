"""What a model's file needs to be loaded, compared with the lock of the service's image."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from tests.kits.models.training import made_up_set
from training.models.fitting import image_packages
from training.models.fitting.image_packages import packages_not_in_image

ROWS = made_up_set(100)
NUMBERS = ROWS.features[["hours", "tickets"]]


def saved(*steps: object) -> bytes:
    content: bytes = skops.io.dumps(make_pipeline(*steps).fit(NUMBERS, ROWS.labels))
    return content


def test_the_image_has_all_of_scikit_learn() -> None:
    assert packages_not_in_image(saved(StandardScaler(), LogisticRegression())) == []
    assert packages_not_in_image(saved(HistGradientBoostingClassifier(max_iter=2))) == []


def test_a_package_is_named_as_it_is_installed() -> None:
    """The module xgboost is of the package xgboost-cpu, without the libraries of a graphics card."""
    assert packages_not_in_image(saved(StandardScaler(), LGBMClassifier(n_estimators=1, verbose=-1))) == ["lightgbm"]
    assert packages_not_in_image(saved(XGBClassifier(n_estimators=1))) == ["xgboost-cpu"]


def test_a_module_of_no_package_has_its_own_name() -> None:
    schema = {"__module__": "our_parts.scaling", "content": [{"__module__": "numpy"}, {"__module__": "collections"}]}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    assert packages_not_in_image(content.getvalue()) == ["our_parts"]


def test_a_package_that_the_lock_lists_is_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "serve.txt"
    lock.write_text(image_packages.LOCK.read_text() + "lightgbm==4.7.0 \\\n    --hash=sha256:0\n")
    monkeypatch.setattr(image_packages, "LOCK", lock)
    assert packages_not_in_image(saved(LGBMClassifier(n_estimators=1, verbose=-1))) == []
