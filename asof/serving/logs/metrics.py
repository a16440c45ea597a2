"""The service's own metrics, beside BentoML's traffic metrics; both are served under /metrics."""

import os
from functools import partial
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOOKUP_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds."""
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One set for each app, in a registry of its own: BentoML collects from the files of all workers."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        counter = partial(Counter, labelnames=["code"], registry=registry)
        outcome = "by outcome: ok, or the problem's code."
        self.predictions = counter("asof_predictions", f"Requests to /predict {outcome}")
        self.predicted, self.shed = self.predictions.labels("ok"), self.predictions.labels("overloaded")
        self.batches = counter("asof_batches", f"Requests to /predict/batch {outcome}")
        self.batch_users = counter("asof_batch_users", f"Instances of /predict/batch {outcome}")
        together = "Predictions computed together: those that arrived during the previous computation."
        self.outcomes = Counter("asof_outcomes", "Items of /outcomes by verdict.", ["verdict"], registry=registry)
        self.batch_size = Histogram("asof_batch_size", together, buckets=BATCH_BUCKETS, registry=registry)
        lookup = "Seconds of one feature lookup, including failed ones."
        self.lookup_seconds = Histogram("asof_lookup_seconds", lookup, buckets=LOOKUP_BUCKETS, registry=registry)
        left = "Times that lookups have left a read replica, as it was behind or failed."
        self.replicas_left = Counter("asof_replicas_left", left, ["replica"], registry=registry)
        lag = "Seconds that a read replica is behind the primary."
        self.replica_lag = Gauge(
            "asof_replica_lag_seconds", lag, ["replica"], registry=registry, multiprocess_mode="mostrecent"
        )
        kept = "Answers by how the ledger keeps them: disk, process, none."
        self.kept = Counter("asof_ledger_answers", kept, ["kept"], registry=registry)
        lost = "Answers that the ledger does not keep, by reason: full (the spool), failed (a write)."
        self.lost = Counter("asof_ledger_lost", lost, ["reason"], registry=registry)


class LedgerMetrics:
    """What the shipper of the ledger has done, as every worker sees it."""

    def __init__(self) -> None:
        gauge = partial(Gauge, registry=CollectorRegistry(), multiprocess_mode="mostrecent")
        self.shipped = gauge("asof_ledger_shipped", "Answers shipped since the shipper was started.")
        self.lag = gauge("asof_ledger_lag_seconds", "Age of the oldest answer that waits for the ledger's database.")
        self.waiting = gauge("asof_ledger_waiting_bytes", "Bytes in the spool that wait for the ledger's database.")
        self.quarantined = gauge("asof_ledger_quarantined", "Damaged files that the shipper has set aside.")


class ShadowMetrics:
    """What the challenger's process has done, as every worker sees it: counts since the spool's folder was made."""

    def __init__(self) -> None:
        gauge = partial(Gauge, registry=CollectorRegistry(), multiprocess_mode="mostrecent")
        scores = "Answers by what came of them at the challenger: scored, failed."
        self.scores = gauge("asof_shadow_scores_total", scores, ["outcome"])
        dropped = (
            "Answers that the challenger did not score, by reason: budget, starting, paused, refused, features, full."
        )
        self.dropped = gauge("asof_shadow_dropped_total", dropped, ["reason"])
        why = "1 while the challenger pauses, since it fails, hangs or is too slow: until one of its calls is good."
        self.paused = gauge("asof_shadow_paused", why)


class FollowMetrics:
    """The further metrics of a following service."""

    def __init__(self) -> None:
        _forget_dead_workers()
        registry = CollectorRegistry()
        looks = "Checks of the registry by outcome: found, nothing (in production), away."
        self.looks = Counter("asof_registry_looks", looks, ["outcome"], registry=registry)
        swaps = "Swaps of the model by outcome: new, kept (back to the previous one), returned (after failures)."
        self.swaps = Counter("asof_swaps", swaps, ["outcome"], registry=registry)
        refused = "Refused versions by the step that they failed."
        self.refused = Counter("asof_refused_versions", refused, ["step"], registry=registry)
        self.serving = Gauge(
            "asof_serving_workers",
            "Workers by the version that they serve.",
            ["version"],
            registry=registry,
            multiprocess_mode="livesum",
        )


def count_refusals() -> Counter:
    """The counter of requests that are refused before they are read."""
    return Counter(
        "asof_refused_requests",
        "Requests refused for their API key, its rate, or the size or syntax of their head, by the problem's code.",
        ["code"],
        registry=CollectorRegistry(),
    )


def _forget_dead_workers() -> None:
    """Removes the gauges of killed workers, which would otherwise be reported for ever."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "/nonexistent")).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
