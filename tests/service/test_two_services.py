"""One service.py and one bentofile.yaml, a Bento for each use case, built, deployed and rolled back separately."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml
import httpx
import pytest

from asof.settings import PROJECT, Settings
from asof.use_cases import load
from tests.kits.models.cancer import CANCER, Made, make
from tests.kits.models.promotion import always
from tests.kits.service import serving as kit
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.bundling.bundle import bundle
from training.release.promotion.promote import promote, rollback
from training.release.registry.register import register
from training.release.registry.versions import model_version, production_number
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel


@pytest.fixture(scope="module")
def made(settings: Settings, bentoml_home: Path) -> Made:
    return make(settings)


def test_bentoml_build_makes_a_bento_for_each_use_case(
    settings: Settings, small_model: "SmallModel", made: Made, bentoml_home: Path
) -> None:
    models = {"churn": small_model.bundle.model_tag, "breast_cancer": bundle(settings, CANCER).model_tag}
    for use_case, model in models.items():
        words = ("build", "--arg", f"use_case={use_case}", "--arg", f"model={model}", "--version", "by-hand")
        command = [sys.executable, "-m", "bentoml", *words]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        name = model.partition(":")[0]
        built = bentoml.get(f"{name}:by-hand")
        assert built.info.args == {"use_case": use_case, "model": model}
        assert built.info.service == "service:service"


@contextmanager
def served(settings: Settings, tag: str, folder: Path) -> Iterator[httpx.Client]:
    folder.mkdir()
    with kit.serving(settings, tag, folder, ASOF_CLOCK=kit.NOW.isoformat()) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
        yield client


def test_each_is_deployed_and_rolled_back_separately(
    settings: Settings, small_model: "SmallModel", made: Made, tmp_path: Path
) -> None:
    """Promotes and rolls back a second version of breast cancer, while churn keeps serving its own."""
    client = open_tracking(settings)
    small = model_version(settings, load("churn"), str(small_model.bundle.version))
    promote(settings, small, judge=always)
    second = register(settings, evaluate(settings, train(settings, CANCER, made.training_set, random_state=7)))
    promote(settings, second, judge=always)
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    with served(settings, small_model.bundle.bento_tag, tmp_path / "churn") as churn:
        for version in (second.version, made.version.version):
            tag = bundle(settings, CANCER).bento_tag
            with served(settings, tag, tmp_path / f"cancer-{version}") as cancer:
                assert cancer.get("/model").json()["version"] == version
                assert cancer.post("/predict", json={"user_id": "good"}).status_code == 422
                answer = churn.post("/predict", json={"user_id": "good"})
                assert (answer.status_code, answer.json()["model"]["version"]) == (200, small_model.bundle.version)
            if version == second.version:
                assert rollback(settings, CANCER, reason="a test").version == made.version.version
    assert production_number(client, CANCER.model_name) == made.version.version
    assert production_number(client, kit.NAME) == small_model.bundle.version
