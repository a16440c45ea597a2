"""A version -> the criteria on contract, data and served bytes, which hold for every version.

A fault of the model fails the criterion; a fault of the environment (no feature store, no MLflow) raises an error.
"""

import statistics
import time
from collections.abc import Iterable
from datetime import datetime

import numpy as np

from asof.errors import ModelError
from asof.features.feature_store import mismatch
from asof.inference.runtime import MODEL_ONNX
from asof.inference.served_model import ServedModel, load_verified
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import VerifiedFolder
from asof.use_case import FromRequest, FromStore, UseCase
from training.inspection import examine, months_known
from training.models.fitting.image_packages import packages_not_in_image
from training.one_thread import one_thread
from training.release.registry.versions import ModelVersion, skops_content, verified_version
from training.targets.rules import Criterion

LATENCY_CALLS = 30
LATENCY = "latency within the budget"


def contract_fits(settings: Settings, use_case: UseCase, version: ModelVersion) -> Criterion:
    """Whether the feature store, or the request, gives exactly the features of the version's contract."""
    name, contract = "feature contract compatible", version.facts.contract
    difference = use_case.request_difference(contract)
    if not difference and isinstance(use_case.source, FromStore):
        difference = mismatch(settings, contract)
    reason = difference or f"{len(contract.features)} features, in the same order"
    return Criterion(name, not difference, {"features": float(len(contract.features))}, reason)


def data_checked(
    settings: Settings, use_case: UseCase, months: Iterable[tuple[datetime, datetime | None]]
) -> tuple[Criterion, ...]:
    """Whether the months, each as known at a moment, have no unacknowledged error.

    None where the features come in the request.
    """
    if isinstance(use_case.source, FromRequest):
        return ()
    stopping: dict[str, str] = {}
    for as_of, known_at in dict(months).items():
        examination = examine(
            months_known(settings, use_case.extract, as_of, known_at=known_at), acknowledged=use_case.acknowledged
        )
        stopping |= {each.finding.name: str(as_of.date()) for each in examination.stopping}
    errors = ", ".join(f"{name} ({month})" for name, month in stopping.items())
    reason = f"{errors}: see `python -m flows inspect`" if errors else "none at the moments trained on and compared on"
    figures = {"errors": float(len(stopping))}
    return (Criterion("data checks without unacknowledged errors", not stopping, figures, reason),)


def served_as_evaluated(settings: Settings, use_case: UseCase, version: ModelVersion) -> tuple[Criterion, ...]:
    """Whether the service would load these bytes and predict as at evaluation; and the latency.

    The version is loaded as the service loads it: signature and digests, then types, then the golden rows. One that is
    not compiled must need no package that the image lacks.
    """
    name = "served bytes agree with the evaluated model"
    try:
        with verified_version(settings, version) as verified:
            _require_image_loads(verified)
            model = load_verified(verified, use_case)
            golden = GoldenRows.from_json(verified.read(GOLDEN_ROWS))
    except ModelError as error:
        return (Criterion(name, False, {}, str(error)), Criterion(LATENCY, False, {}, "the version does not load"))
    assert model.golden_rows  # noqa: S101 - load_verified sets it
    figures = {"rows": float(model.golden_rows.rows), "largest_difference": model.golden_rows.largest_difference}
    reason = f"{model.golden_rows.rows} golden rows, the largest difference {model.golden_rows.largest_difference:.1e}"
    return (Criterion(name, True, figures, reason), fast_enough(model, golden, use_case.gate.latency_seconds))


def _require_image_loads(verified: VerifiedFolder) -> None:
    """Raises ModelError where the model is not compiled and the service's image lacks a package of it."""
    if MODEL_ONNX in verified.manifest.files:
        return
    if packages := packages_not_in_image(skops_content(verified)):
        raise ModelError(
            f"it is not compiled, as the run's tag `not_compiled` explains, and the service's image has no "
            f"{', '.join(packages)}: requirements/serve.txt does not list it"
        )


def fast_enough(model: ServedModel, golden: GoldenRows, budget: float) -> Criterion:
    """Whether the median time of one prediction, in one thread and without the feature lookup, is within the budget."""
    seconds = []
    with one_thread():
        for _ in range(LATENCY_CALLS):
            begun = time.perf_counter()
            model.predict(golden.rows[:1])
            seconds.append(time.perf_counter() - begun)
    median, p95 = statistics.median(seconds), float(np.percentile(seconds, 95))
    reason = f"one prediction takes {median * 1000:.1f} ms (95 %: {p95 * 1000:.1f}), the budget is {budget * 1000:g} ms"
    return Criterion(LATENCY, median <= budget, {"median": median, "p95": p95, "budget": budget}, reason)
