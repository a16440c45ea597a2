"""The bill of materials of a version: its card, and the digests of what it learned from."""

import json
from pathlib import Path

import pytest

from asof.errors import ModelError
from asof.settings import Settings
from flows.stages.bom import write_bom
from tests.kits.models.cancer import make


@pytest.fixture(scope="module")
def made(settings: Settings) -> None:
    make(settings)


def test_it_names_the_version_its_metrics_and_its_data(settings: Settings, made: None, tmp_path: Path) -> None:
    result = write_bom(settings, "breast_cancer", "1", to=tmp_path / "new" / "bom.json")
    document = json.loads(Path(result["file"]).read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    model, training_set = document["components"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "breast_cancer", "1")
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "binary classification"
    assert card["modelParameters"]["datasets"] == [{"ref": training_set["bom-ref"]}]
    assert card["modelParameters"]["inputs"][0] == {"format": "mean radius: Float64"}
    metrics = {each["type"]: each for each in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert float(metrics["auc"]["value"]) > 0.9
    assert set(metrics["auc"]["confidenceInterval"]) == {"lowerBound", "upperBound"}
    assert not any(name.endswith(("_low", "_high")) for name in metrics)
    facts = {each["name"]: each["value"] for each in model["properties"]}
    assert len(facts["asof:fingerprint"]) == len(training_set["hashes"][0]["content"]) == 64
    references = [each["bom-ref"] for each in document["components"]]
    assert len({*references}) == len(references)
    assert {each["ref"] for each in document["dependencies"]} <= {*references}


def test_the_same_version_gives_the_same_bytes(settings: Settings, made: None, tmp_path: Path) -> None:
    files = [Path(write_bom(settings, "breast_cancer", "1", to=tmp_path / name)["file"]) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_version_that_there_is_not_has_none(settings: Settings, made: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        write_bom(settings, "breast_cancer", "99", to=tmp_path / "bom.json")
    assert not list(tmp_path.iterdir())
