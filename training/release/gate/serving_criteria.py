"""A version -> the criteria of promotion that compare no figures of models: what every version must keep.

Where the model is at fault the criterion fails; where the environment is (no feature store, no MLflow), an error tells.
"""

import statistics
import time
from collections.abc import Iterable
from datetime import datetime

import numpy as np

from asof.errors import ModelError
from asof.features.feature_store import mismatch
from asof.inference.served_model import ServedModel, load_verified
from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.use_case import FromRequest, UseCase
from training.inspection import examine, months_known
from training.one_thread import one_thread
from training.release.gate.criteria import Criterion
from training.release.registry.versions import ModelVersion, verified_version

TIMES = 30


def contract_fits(settings: Settings, use_case: UseCase, version: ModelVersion) -> Criterion:
    """Whether the feature store, or the request, gives just the features that the version takes."""
    name, contract = "feature contract compatible", version.facts.contract
    if isinstance(use_case.source, FromRequest):
        found = contract.difference(use_case.source.contract, "a request")
    else:
        found = mismatch(settings, contract)
    told = found or f"{len(contract.features)} features, in the same order"
    return Criterion(name, not found, {"features": float(len(contract.features))}, told)


def data_checked(
    settings: Settings, use_case: UseCase, months: Iterable[tuple[datetime, datetime | None]]
) -> tuple[Criterion, ...]:
    """Whether the months, each with the moment at which it was known, are free of errors that nobody has acknowledged.

    Nothing where the features come in the request.
    """
    if isinstance(use_case.source, FromRequest):
        return ()
    stopping: dict[str, str] = {}
    for as_of, known_at in dict(months).items():
        found = examine(
            months_known(settings, use_case.extract, as_of, known_at=known_at), acknowledged=use_case.acknowledged
        )
        stopping |= {each.finding.name: str(as_of.date()) for each in found.stopping}
    told = ", ".join(f"{name} ({month})" for name, month in stopping.items())
    reason = f"{told}: see `python -m flows inspect`" if told else "none in the months trained on and compared on"
    figures = {"errors": float(len(stopping))}
    return (Criterion("data checks without unacknowledged errors", not stopping, figures, reason),)


def served_as_evaluated(settings: Settings, use_case: UseCase, version: ModelVersion) -> tuple[Criterion, ...]:
    """Whether the service would load these bytes and say what the model said when it was evaluated; and how fast.

    The version is loaded as the service loads it: signature and digests, then types, then the golden rows.
    """
    name = "served bytes agree with the evaluated model"
    try:
        with verified_version(settings, version) as verified:
            model = load_verified(verified, use_case)
            golden = GoldenRows.from_json(verified.read(GOLDEN_ROWS))
    except ModelError as error:
        return (Criterion(name, False, {}, str(error)), Criterion(FAST, False, {}, "it does not load"))
    assert model.golden_rows  # noqa: S101 - a model that was loaded has one
    figures = {"rows": float(model.golden_rows.rows), "largest_difference": model.golden_rows.largest_difference}
    reason = f"{model.golden_rows.rows} golden rows, the largest difference {model.golden_rows.largest_difference:.1e}"
    return (Criterion(name, True, figures, reason), fast_enough(model, golden, use_case.gate.latency_seconds))


FAST = "latency within the budget"


def fast_enough(model: ServedModel, golden: GoldenRows, budget: float) -> Criterion:
    """Whether the median time of one prediction, in one thread and without its lookup, is within the budget."""
    seconds = []
    with one_thread():
        for _ in range(TIMES):
            begun = time.perf_counter()
            model.probabilities(golden.rows[:1])
            seconds.append(time.perf_counter() - begun)
    median, p95 = statistics.median(seconds), float(np.percentile(seconds, 95))
    reason = f"one prediction takes {median * 1000:.1f} ms (95 %: {p95 * 1000:.1f}), the budget is {budget * 1000:g} ms"
    return Criterion(FAST, median <= budget, {"median": median, "p95": p95, "budget": budget}, reason)
