"""A version -> the criterion that its compiled model agrees with scikit-learn on its whole training set."""

from asof.errors import ModelError
from asof.inference.runtime import MODEL_ONNX, Onnx
from asof.settings import Settings
from asof.use_case import UseCase
from training.features.datasets.dataset import build_training_set
from training.features.datasets.training_set import TrainingSet, frame_of
from training.models.compilation.agreement import agreement
from training.models.fitting.logged_rows import logged_rows, rows_match
from training.release.registry.versions import ModelVersion, estimator_in, verified_version
from training.targets.rules import Criterion
from training.tracking.registry_tables import open_registry

CRITERION = "compiled model agrees with scikit-learn"


def compiled_agrees(settings: Settings, use_case: UseCase, version: ModelVersion) -> Criterion:
    """Whether model.onnx gives the estimator's predictions and answers for every row of the version's training set.

    A version without model.onnx passes: scikit-learn serves it.
    """
    try:
        with verified_version(settings, version) as verified:
            if MODEL_ONNX not in verified.manifest.files:
                return Criterion(CRITERION, True, {}, "not compiled: scikit-learn serves it, the run's tags say why")
            runtime = Onnx(verified.read(MODEL_ONNX), version.facts.output)
            estimator = estimator_in(verified)
    except ModelError as error:
        return Criterion(CRITERION, False, {}, str(error))
    features = _training_set(settings, use_case, version).complete().features
    try:
        compared = agreement(runtime, estimator, features, version.facts.output)
    except (ValueError, TypeError, KeyError) as error:
        return Criterion(CRITERION, False, {}, f"{MODEL_ONNX} fails on a row that scikit-learn takes: {error}")
    return Criterion(CRITERION, compared.holds, compared.figures, str(compared))


def _training_set(settings: Settings, use_case: UseCase, version: ModelVersion) -> TrainingSet:
    """The version's training set: as its run logged it, or else rebuilt."""
    facts, rows = version.facts, logged_rows(open_registry(settings), version.run_id)
    if rows is None or not rows_match(rows, facts, label := rows.column_names[-1]):
        return build_training_set(
            settings,
            use_case.sampled(facts.sample),
            facts.as_of,
            known_at=facts.known_at,
            feature_service=facts.contract.feature_service,
        )
    return TrainingSet(
        frame_of(rows, facts.contract, label),
        facts.contract,
        label,
        as_of=facts.as_of,
        known_at=facts.known_at,
        fingerprint=facts.fingerprint,
        rows_digest=facts.rows_digest,
        derived=use_case.derivations(facts.derived),
        target=use_case.target,
    )
