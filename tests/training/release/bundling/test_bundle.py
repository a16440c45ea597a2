"""A registered version becomes a model and a Bento, once, with its lineage and nothing that does not belong there."""

import compileall
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import mlflow
import pandas as pd
import pytest

from asof.errors import ModelError, UntrustedModel
from asof.features.feature_contract import model_frame
from asof.inference.served_model import load_model
from asof.settings import Settings, export
from asof.trust.golden_rows import GoldenRowsCheck
from asof.trust.signing_keys import public_text, trusted_keys
from asof.use_cases import load
from tests.kits.service import serving as kit
from training.features.materialisation.feature_registry import apply_features
from training.release.bundling.bundle import bundle
from training.release.registry.versions import ModelVersion

CHURN = load("churn")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.bentoml_home(tmp_path_factory)


@pytest.fixture(scope="module")
def version(settings: Settings, home: Path) -> ModelVersion:
    export(settings)
    apply_features(settings)
    made, _ = kit.register_small_model(settings, kit.registered_contract(settings))
    return made


@pytest.fixture(scope="module")
def built(settings: Settings, version: ModelVersion) -> Any:
    return bundle(settings, CHURN, version)


@pytest.fixture
def in_production(version: ModelVersion) -> Iterator[ModelVersion]:
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(version.name, "production", version.version)
    yield version
    client.delete_registered_model_alias(version.name, "production")


def interrupted_after(owner: Any, name: str, settings: Settings, version: ModelVersion) -> None:
    """Bundles, with Ctrl-C when the call of that name is done."""
    finish = getattr(owner, name)

    def interrupted(*words: Any, **options: Any) -> None:
        finish(*words, **options)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        bundle(settings, CHURN, version)


def test_an_interrupted_build_leaves_nothing_half_done_and_can_be_repeated(
    settings: Settings, version: ModelVersion, built: Any
) -> None:
    bento, model = (Path(item.path) for item in (bentoml.get(built.bento_tag), bentoml.models.get(built.model_tag)))
    bentoml.bentos.delete(built.bento_tag)
    bentoml.models.delete(built.model_tag)
    for owner, name, item in ((bentoml.mlflow, "import_model", model), (compileall, "compile_dir", bento)):
        with pytest.raises(KeyboardInterrupt):
            interrupted_after(owner, name, settings, version)
        assert not item.exists()
    assert bundle(settings, CHURN, version) == built


def test_the_same_version_gives_the_same_tags_and_nothing_is_built_twice(
    settings: Settings, version: ModelVersion, built: Any
) -> None:
    assert built.model_tag == f"streamflow_churn:v{version.version}-{version.run_id[:8]}"
    assert built.bento_tag.startswith(built.model_tag + "-")
    models, bentos = len(bentoml.models.list()), len(bentoml.list())
    again = bundle(settings, CHURN, version)
    assert built.created
    assert again == replace(built, created=False)
    assert (len(bentoml.models.list()), len(bentoml.list())) == (models, bentos)


def test_the_version_in_production_is_the_default(settings: Settings, built: Any, in_production: ModelVersion) -> None:
    assert bundle(settings, CHURN) == replace(built, created=False)


def test_latest_is_the_bento_that_was_meant_last_not_the_one_built_last(
    settings: Settings, version: ModelVersion, built: Any
) -> None:
    newer, _ = kit.register_small_model(settings, kit.registered_contract(settings))
    assert bundle(settings, CHURN, newer).bento_tag == _latest()
    assert bundle(settings, CHURN, version).bento_tag == built.bento_tag == _latest()


def _latest() -> str:
    return str(bentoml.bentos.get("streamflow_churn:latest").tag)


def test_without_a_version_in_production_the_next_step_is_reported(settings: Settings, version: ModelVersion) -> None:
    with pytest.raises(ModelError, match="flows retrain"):
        bundle(settings, CHURN)


def test_a_model_of_another_use_case_is_refused(settings: Settings, version: ModelVersion) -> None:
    stranger = replace(version, facts=replace(version.facts, use_case="breast_cancer"))
    with pytest.raises(ModelError, match="breast_cancer"):
        bundle(settings, CHURN, stranger)


def test_the_model_carries_its_lineage(version: ModelVersion, built: Any) -> None:
    info = bentoml.models.get(built.model_tag).info
    assert info.labels == info.metadata
    assert info.metadata == {
        "name": "streamflow_churn",
        "version": version.version,
        "run_id": version.run_id,
        "fingerprint": "f" * 64,
        "rows_digest": "d" * 64,
        "feature_service": "churn_v2",
        "as_of": "2026-02-28T00:00:00+00:00",
        "git_commit": "c" * 40,
    }


def test_the_bento_holds_what_serves_and_nothing_else(settings: Settings, built: Any) -> None:
    bento = bentoml.get(built.bento_tag)
    source = Path(bento.path) / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    rest = {name for name in files if not (name.startswith(("asof/", "online_store/")) and name.endswith(".py"))}
    image = {f"deploy/image/{name}" for name in ("Dockerfile.j2", "ready.py", "shipping.py", "trim.py")}
    assert rest == {"service.py", "bentofile.yaml", "feature_repo/feature_store.yaml", "requirements/serve.txt", *image}
    keys = public_text(trusted_keys(settings))
    assert bento.info.args == {"use_case": "churn", "model": built.model_tag, "trusted_keys": keys}
    assert [str(model.tag) for model in bento.info.all_models] == [built.model_tag]
    locked = (Path(bento.path) / "env" / "python" / "requirements.txt").read_text()
    assert "--hash=sha256:" in locked
    assert not any(line.startswith(("mlflow", "prefect", "--index-url")) for line in locked.splitlines())


def test_the_imported_model_scores_as_the_registered_one(settings: Settings, version: ModelVersion, built: Any) -> None:
    folder = Path(bentoml.models.get(built.model_tag).path)
    with pytest.raises(UntrustedModel, match=f"holds the model of run {built.run_id}, not of run another"):
        load_model(folder, CHURN, trusted_keys(settings), run_id="another")
    served = load_model(folder, CHURN, trusted_keys(settings), run_id=built.run_id)
    rows = [kit.flat(views) for views in kit.users_like(50, seed=3).values()]
    assert served.facts == version.facts
    frame = model_frame(pd.DataFrame(rows), served.facts.contract)
    registered = kit.fit_small_model(version.facts.contract).predict_proba(frame)[:, 1].tolist()
    assert served.predict(rows) == pytest.approx(registered, abs=1e-9)
    assert served.golden_rows == GoldenRowsCheck(20, pytest.approx(0, abs=1e-12))
    assert [served.predict([row])[0] for row in rows] == pytest.approx(registered, abs=1e-9)
    assert (served.runtime.name, served.blocking) == ("onnx", False)


@pytest.mark.parametrize(("compiled", "loaded"), [(True, set()), (False, {"pandas", "scipy", "sklearn", "skops"})])
def test_a_compiled_model_is_loaded_and_scored_without_what_it_was_trained_with(
    settings: Settings, home: Path, compiled: bool, loaded: set[str]
) -> None:
    version, _ = kit.register_small_model(settings, kit.registered_contract(settings), compiled=compiled)
    folder = bentoml.models.get(bundle(settings, CHURN, version).model_tag).path
    code = f"""
import pathlib, sys
from asof.inference.served_model import load_model
from asof.settings import Settings
from asof.trust.signing_keys import trusted_keys
from asof.use_cases import load
keys = trusted_keys(Settings())
model = load_model(pathlib.Path({folder!r}), load("churn"), keys, run_id={version.run_id!r})
row = {kit.flat(kit.USER)!r}
print(0 <= model.predict([row])[0] <= 1)
print(*sorted({{"pandas", "sklearn", "skops", "mlflow", "onnx", "scipy", "feast"}} & set(sys.modules)))
"""
    environment = {**os.environ, **settings.environment()}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    in_range, modules = ran.stdout.splitlines()
    assert in_range == "True"
    assert set(modules.split()) == loaded
    assert ("is not compiled: scikit-learn serves it" in ran.stderr) is not compiled
