"""Models made to do harm, at every door that loads one: registration, the gate, the build and the service.

Some are altered after they were signed; others were signed with our own key, as by an insider.
"""

import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import mlflow
import onnx
import pytest
import skops.io
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import numpy_helper

from asof.errors import ModelError, UntrustedModel
from asof.inference.runtime import MODEL_ONNX
from asof.inference.served_model import MLFLOW_FOLDER
from asof.inference.served_model import load_model as load_served
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import MANIFEST, sign_folder
from asof.trust.signing_keys import signing_key, trusted_keys
from tests.kits.models.cancer import CANCER, Made, make
from tests.kits.service import serving as kit
from training.release.bundling.bundle import bundle
from training.release.registry.register import register
from training.release.registry.versions import load_model


@dataclass(frozen=True)
class Target:
    """A registered version, and the folder in which MLflow keeps its bytes; `harm` appears where harm was done."""

    settings: Settings
    made: Made
    folder: Path
    harm: Path

    def sign(self, key: Any = None, run_id: str | None = None) -> None:
        """Signs the folder as it is now: by default with our own key and run."""
        content = sign_folder(self.folder, run_id or self.made.version.run_id, key or signing_key(self.settings))
        (self.folder / MANIFEST).write_bytes(content)

    def describe(self, **flavour: Any) -> None:
        """Changes what MLmodel says of the model's file."""
        description = yaml.safe_load((self.folder / "MLmodel").read_text())
        description["flavors"]["sklearn"] |= flavour
        (self.folder / "MLmodel").write_text(yaml.safe_dump(description))

    def harmful_pickle(self) -> bytes:
        return b"cos\nmkdir\n(S'%b'\ntR." % str(self.harm).encode()


@pytest.fixture(scope="module")
def made(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Made:
    kit.bentoml_home(tmp_path_factory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML loads the rest of itself at its first use
        bentoml.models.list()
    return make(settings)


@pytest.fixture
def target(settings: Settings, made: Made, tmp_path: Path) -> Iterator[Target]:
    """The version, put back as it was after each test."""
    model_id = made.trained.model_uri.removeprefix("models:/")
    location = mlflow.get_logged_model(model_id).artifact_location
    folder = Path(location.removeprefix("file://"))
    shutil.copytree(folder, tmp_path / "kept")
    yield Target(settings, made, folder, tmp_path / "harm")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)
    for model in bentoml.models.list():
        bentoml.models.delete(model.tag)


def pickle_in_place(target: Target) -> None:
    (target.folder / "model.skops").unlink()
    (target.folder / "model.pkl").write_bytes(target.harmful_pickle())
    target.describe(serialization_format="cloudpickle", pickled_model="model.pkl")


def pickle_under_the_models_name(target: Target) -> None:
    (target.folder / MODEL_ONNX).unlink()  # else the other file is not opened
    (target.folder / "model.skops").write_bytes(target.harmful_pickle())


def pickle_inside_the_archive(target: Target) -> None:
    """skops keeps arrays of objects as a pickle of their own; loading one runs it."""
    with zipfile.ZipFile(target.folder / "model.skops", "a") as archive:
        archive.writestr("0.npy", target.harmful_pickle())


def forbidden_type(target: Target) -> None:
    """The list inside the artefact names the intruder; ours does not."""
    (target.folder / MODEL_ONNX).unlink()
    skops.io.dump(kit.Intruder(), target.folder / "model.skops")
    target.describe(skops_trusted_types=["tests.kits.service.serving.Intruder"])


def flipped_byte(target: Target) -> None:
    _flip(target.folder / "model.skops")


def flipped_byte_of_the_graph(target: Target) -> None:
    _flip(target.folder / MODEL_ONNX)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_graph(target: Target) -> None:
    (target.folder / MODEL_ONNX).write_bytes(target.harmful_pickle())


def another_graph(target: Target) -> None:
    """Its weights are all a little greater: still a graph, and a valid one."""
    graph = onnx.load(target.folder / MODEL_ONNX)
    for constant in graph.graph.initializer:
        if constant.data_type == onnx.TensorProto.DOUBLE:
            weights = numpy_helper.to_array(constant)
            constant.CopyFrom(numpy_helper.from_array(1.01 * weights, constant.name))
    onnx.save(graph, target.folder / MODEL_ONNX)


def graph_with_weights_elsewhere(target: Target) -> None:
    """They would be read from a file of the working folder."""
    graph = onnx.load(target.folder / MODEL_ONNX)
    weights = graph.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="pyproject.toml")
    (target.folder / MODEL_ONNX).write_bytes(graph.SerializeToString())


def another_model(target: Target) -> None:
    """A good file of ours, in the place of another one."""
    (target.folder / MODEL_ONNX).unlink()
    other = target.made.trained.model
    other = type(other)([*other.steps[:-1], ("model", type(other[-1])(C=0.001))])
    side = target.made.trained.train_side
    skops.io.dump(other.fit(side.features, side.labels), target.folder / "model.skops")


ALTERATIONS = (pickle_in_place, pickle_under_the_models_name, pickle_inside_the_archive)
ALTERATIONS += (forbidden_type, flipped_byte, flipped_byte_of_the_graph, another_model)


def at_registration(target: Target) -> None:
    register(target.settings, target.made.evaluation)


def at_the_gate(target: Target) -> None:
    load_model(target.settings, target.made.version)


def at_the_build(target: Target) -> None:
    bundle(target.settings, CANCER, target.made.version)


def in_the_service(target: Target) -> None:
    """The folder as BentoML lays it out, and as a following service does."""
    copy = target.harm.parent / "stored"
    shutil.copytree(target.folder, copy / MLFLOW_FOLDER)
    load_served(copy, CANCER, trusted_keys(target.settings), run_id=target.made.version.run_id)


DOORS = (at_registration, at_the_gate, at_the_build, in_the_service)


@pytest.mark.parametrize("door", DOORS)
def test_the_model_as_it_was_signed_passes_every_door(target: Target, door: Callable[[Target], None]) -> None:
    door(target)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("alter", ALTERATIONS)
def test_a_model_that_was_altered_after_it_was_signed_is_refused(
    target: Target, alter: Callable[[Target], None], door: Callable[[Target], None]
) -> None:
    alter(target)
    with pytest.raises(UntrustedModel, match="is not what was signed"):
        door(target)
    assert not target.harm.exists()
    assert not bentoml.models.list()


@pytest.mark.parametrize("door", DOORS)
def test_a_model_that_a_stranger_signed_is_refused(target: Target, door: Callable[[Target], None]) -> None:
    target.sign(Ed25519PrivateKey.generate())
    with pytest.raises(UntrustedModel, match="is signed by"):
        door(target)


@pytest.mark.parametrize("door", DOORS)
def test_an_unsigned_model_is_refused(target: Target, door: Callable[[Target], None]) -> None:
    (target.folder / MANIFEST).unlink()
    with pytest.raises(UntrustedModel, match="is not signed"):
        door(target)


@pytest.mark.parametrize("door", DOORS[:3])
def test_a_good_model_under_another_run_is_refused(target: Target, door: Callable[[Target], None]) -> None:
    target.sign(run_id="0" * 32)
    with pytest.raises(UntrustedModel, match=f"not of run {target.made.version.run_id}"):
        door(target)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (pickle_in_place, "not saved with skops|no model of AsOf"),
        (pickle_under_the_models_name, "is not a skops file"),
        (forbidden_type, "types that are not trusted: .*Intruder"),
        (another_model, "golden rows come out differently"),
        (another_graph, "golden rows come out differently"),
        (graph_with_weights_elsewhere, r"model\.onnx does not load"),
        (no_graph, r"model\.onnx does not load"),
    ],
)
def test_harm_that_was_signed_with_our_own_key_is_refused_all_the_same(
    target: Target, alter: Callable[[Target], None], message: str
) -> None:
    alter(target)
    target.sign()
    with pytest.raises(ModelError, match=message):
        in_the_service(target)
    if alter in (pickle_in_place, pickle_under_the_models_name, forbidden_type):
        with pytest.raises(ModelError, match=message):  # the rest shows when the gate loads it as the service does
            at_the_gate(target)
    assert not target.harm.exists()


@pytest.mark.parametrize("content", [b"{}", b"", b'{"rows": [], "probabilities": [0.5]}', b"[1]"])
def test_golden_rows_that_prove_nothing_are_refused(target: Target, content: bytes) -> None:
    (target.folder / GOLDEN_ROWS).write_bytes(content)
    target.sign()
    with pytest.raises(ModelError, match="golden rows"):
        in_the_service(target)


def test_a_model_without_golden_rows_is_refused(target: Target) -> None:
    (target.folder / GOLDEN_ROWS).unlink()
    target.sign()
    with pytest.raises(UntrustedModel, match=GOLDEN_ROWS):
        in_the_service(target)


def test_a_model_with_a_null_in_place_of_a_number_is_refused(target: Target) -> None:
    golden = GoldenRows.from_json((target.folder / GOLDEN_ROWS).read_bytes())
    probabilities = [float("nan"), *golden.probabilities[1:]]
    (target.folder / GOLDEN_ROWS).write_bytes(GoldenRows(golden.rows, probabilities).to_json())
    target.sign()
    with pytest.raises(ModelError, match="2 of 33 golden rows come out differently"):
        in_the_service(target)


def test_golden_rows_are_the_held_out_rows_from_the_lowest_to_the_highest_probability(made: Made) -> None:
    model_id = made.trained.model_uri.removeprefix("models:/")
    folder = Path(mlflow.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    golden = GoldenRows.from_json((folder / GOLDEN_ROWS).read_bytes())
    assert len(golden.rows) == 32
    assert list(golden.probabilities) == sorted(golden.probabilities)
    assert golden.probabilities[0] == pytest.approx(made.evaluation.predictions.min(), rel=1e-9)
    assert golden.probabilities[-1] == pytest.approx(made.evaluation.predictions.max(), rel=1e-9)
    assert list(golden.rows[0]) == made.version.facts.contract.names


def test_a_stored_model_that_was_altered_is_not_built_and_the_next_build_takes_a_good_one(target: Target) -> None:
    built = bundle(target.settings, CANCER, target.made.version)
    stored = Path(bentoml.models.get(built.model_tag).path)
    (stored / MLFLOW_FOLDER / "requirements.txt").write_text("harm")
    with pytest.raises(UntrustedModel, match=r"requirements\.txt changed"):
        bundle(target.settings, CANCER, target.made.version)
    assert bundle(target.settings, CANCER, target.made.version).model_tag == built.model_tag


def test_the_crafted_pickle_would_do_harm(target: Target) -> None:
    """Else the tests above would prove nothing."""
    pickle.loads(target.harmful_pickle())
    assert target.harm.exists()
