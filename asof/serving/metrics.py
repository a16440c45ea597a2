"""What the service counts of its own, beside BentoML's traffic metrics; both appear under /metrics."""

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


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
        self.lookup_seconds = Histogram(
            "asof_lookup_seconds", "Seconds of one feature lookup, failed ones too.", buckets=BUCKETS, registry=registry
        )
