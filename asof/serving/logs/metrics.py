"""What the service counts of its own, beside BentoML's traffic metrics; both appear under /metrics."""

import os
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One set for each app, in a registry of its own: BentoML collects from the files of all workers."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.predictions = Counter(
            "asof_predictions",
            "Requests to /predict by outcome: ok, or the problem's code.",
            ["code"],
            registry=registry,
        )
        self.predicted, self.shed = self.predictions.labels("ok"), self.predictions.labels("overloaded")
        self.batches = Counter(
            "asof_batches",
            "Requests to /predict/batch by outcome: ok, or the problem's code.",
            ["code"],
            registry=registry,
        )
        self.batch_users = Counter(
            "asof_batch_users",
            "Instances of /predict/batch by outcome: ok, or the problem's code.",
            ["code"],
            registry=registry,
        )
        self.batch_size = Histogram(
            "asof_batch_size",
            "Predictions that were made together: those that came while the ones before were.",
            buckets=SIZES,
            registry=registry,
        )
        self.lookup_seconds = Histogram(
            "asof_lookup_seconds", "Seconds of one feature lookup, failed ones too.", buckets=BUCKETS, registry=registry
        )


class FollowMetrics:
    """What a following service counts besides."""

    def __init__(self) -> None:
        _forget_dead_workers()
        registry = CollectorRegistry()
        self.looks = Counter(
            "asof_registry_looks",
            "Looks at the registry by outcome: found, nothing (in Production), away.",
            ["outcome"],
            registry=registry,
        )
        self.swaps = Counter(
            "asof_swaps",
            "Swaps of the model by outcome: new, kept (back to the one before), returned (for its failures).",
            ["outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "asof_refused_versions",
            "Versions that were refused, by the step that they failed.",
            ["step"],
            registry=registry,
        )
        self.serving = Gauge(
            "asof_serving_workers",
            "Workers by the version that they serve.",
            ["version"],
            registry=registry,
            multiprocess_mode="livesum",
        )


def count_refusals() -> Counter:
    """Counts what is refused before it is looked at."""
    return Counter(
        "asof_refused_requests",
        "Requests refused for their API key, its rate or the form of their head, by the problem's code.",
        ["code"],
        registry=CollectorRegistry(),
    )


def _forget_dead_workers() -> None:
    """A worker that was killed leaves the file of its gauges behind, and would be counted as serving for ever."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "/nonexistent")).glob("gauge_live*.db"):
        number = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(number):
            mark_process_dead(number)  # type: ignore[no-untyped-call]
