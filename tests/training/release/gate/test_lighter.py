"""The same model, lighter: judged on real versions, promoted with its ground in the history."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from asof.settings import Settings
from asof.trust.signed_manifest import FileDigest, Manifest
from asof.use_case import GateBounds
from tests.kits.models.cancer import CANCER, Made, make
from training.models.evaluation import evaluate as evaluation
from training.models.fitting.train import train
from training.release.gate import lighter
from training.release.gate.judge import judge_of
from training.release.gate.lighter import lighter_than
from training.release.promotion.history_report import report_history
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion

ASKED = replace(CANCER, gate=GateBounds(equivalence_margin=0.01))
NAME = "AUC above the version in Production"


@pytest.fixture(scope="module")
def made(settings: Settings) -> Made:
    """Compiled, and in Production."""
    return make(settings)


@pytest.fixture(scope="module")
def plain(settings: Settings, made: Made) -> ModelVersion:
    """The same model without its graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "log_compiled", lambda client, trained: None)
        trained = train(settings, CANCER, made.training_set)
        return register(settings, evaluation.evaluate(settings, trained))


def test_what_is_compiled_replaces_its_equal_that_is_not_and_the_history_says_why(
    settings: Settings, made: Made, plain: ModelVersion
) -> None:
    promote(settings, plain, judge=lambda champion: judge_of(settings, CANCER, plain)(None))
    judge = judge_of(settings, ASKED, made.version)
    tried = promote(settings, made.version, judge=judge, dry_run=True)
    (found,) = [each for each in tried.criteria if each.name.startswith(NAME)]
    ground = f"equivalent within 0.01, and compiled, which version {plain.version} is not"
    assert (found.name, found.passed, found.ground) == (f"{NAME}, or equivalent and lighter", True, ground)
    assert "difference +0.0000 (+0.0000 to +0.0000)" in found.reason
    assert not promote(settings, made.version, judge=judge_of(settings, CANCER, made.version), dry_run=True).promoted
    outcome = promote(settings, made.version, judge=judge)
    assert (outcome.promoted, outcome.previous) == (True, plain.version)
    newest = report_history(settings, CANCER).entries[-1]
    assert newest.reason == f"passed the gate; {ground}"
    assert newest.evidence["criteria"][1]["ground"] == ground


def test_what_is_not_compiled_or_no_smaller_is_not_lighter(settings: Settings, made: Made, plain: ModelVersion) -> None:
    assert lighter_than(settings, made.version, plain) == f"compiled, which version {plain.version} is not"
    assert lighter_than(settings, plain, made.version) == ""
    assert lighter_than(settings, made.version, made.version) == ""
    failed = [each.name for each in judge_of(settings, ASKED, plain)(made.version) if not each.passed]
    assert failed == [f"{NAME}, or equivalent and lighter"]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"model.onnx": 50, "model.skops": 900}, {"model.onnx": 100, "model.skops": 10}, "smaller: 50 bytes"),
        ({"model.onnx": 51, "model.skops": 1}, {"model.onnx": 100, "model.skops": 900}, ""),
        ({"model.skops": 4_000}, {"model.skops": 9_000}, "smaller: 4,000 bytes, version 1 has 9,000"),
        ({"model.skops": 1}, {"model.onnx": 100, "model.skops": 9}, ""),
    ],
)
def test_the_file_that_is_served_counts(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    made: Made,
    ours: Mapping[str, int],
    theirs: Mapping[str, int],
    expected: str,
) -> None:
    one, other = made.version, replace(made.version, version="1")
    files = {id(one): ours, id(other): theirs}

    def manifest(_: Settings, version: ModelVersion) -> tuple[Manifest, str]:
        return Manifest("run", {name: FileDigest(size, "") for name, size in files[id(version)].items()}), "key"

    monkeypatch.setattr(lighter, "manifest_of", manifest)
    assert lighter_than(settings, one, other).startswith(expected)
    assert bool(lighter_than(settings, one, other)) == bool(expected)
