"""Keeps a worker's model in step with the registry: polls, loads new versions, swaps them in or refuses them.

One task for each worker. A version must pass every step before it answers its first request. If it fails one, it is
refused: the model so far keeps serving, and the version is not tried again while it is in production. Transient errors
of the registry or the feature store are retried. A worker without a model resumes with the version in its folder that
answered last.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from asof.errors import AsOfError, RegistryUnavailable
from asof.serving.following.candidates import CandidateLoader
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion, VersionId
from asof.serving.following.model_cache import FollowState, ModelCache, Refusal
from asof.serving.following.origin import withdraw
from asof.serving.following.steps import MAX_REASON_LENGTH, TRANSIENT, VersionRefused
from asof.serving.logs.metrics import FollowMetrics
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.memory import settle
from asof.serving.prediction.predictor import Predictor

logger = logging.getLogger("asof.serving")

MAX_FAILED_POLLS = 3
"""Failed polls, over twice `follow_seconds`, after which a starting worker serves the model that it has."""
RETRY_SECONDS = 0.2
"""Between polls of a starting worker: `make up` starts the registry at the same time."""


class Follower:
    """Follows the registry for one worker's LiveModel."""

    def __init__(
        self, live: LiveModel, registry: MlflowRegistry, cache: ModelCache, *, candidates: CandidateLoader
    ) -> None:
        self.state = FollowState()
        self._live, self._registry, self._cache, self._candidates = live, registry, cache, candidates
        self._settings = live.worker.settings
        self._metrics = FollowMetrics()
        self._served_versions: set[str] = set()
        self._known_runs: set[str] = set()
        self._foreign_model = ""
        self._update_serving_metric()
        self._failed_polls, self._begun = 0, time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        live.on_revert, live.reason = self._on_revert, self._not_ready_reason

    def start(self) -> None:
        """Starts to poll; call it inside the event loop."""
        self._spawn(self._run())

    async def close(self) -> None:
        """Stops polling, and closes the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._registry.close()

    async def _run(self) -> None:
        if self._live.predictor is None:
            await self._resume()
        seconds, self._begun = self._settings.follow_seconds, time.monotonic()
        while True:
            await self._poll()
            await asyncio.sleep(seconds if self._live.settled else min(seconds, RETRY_SECONDS))

    async def _resume(self) -> None:
        """Serves the version that answered last, if it still loads."""
        try:
            async with self._cache.lock():
                last = self._cache.served()
                if last:
                    await self._resume_with(last)
        except Exception as error:
            self._record_error(error)

    async def _resume_with(self, last: ProductionVersion) -> None:
        try:
            new = await self._candidates.load(last)
        except VersionRefused as refused:  # the registry may have a good copy
            logger.warning("The cached copy of version %s, served last, is unusable: %s", last.version, refused)
            self._cache.remove(last)
            return
        new.start().add_done_callback(lambda _: settle())
        self._live.swap(new)
        self._update_serving_metric()
        logger.info("Resuming with version %s (run %s), which was served last.", last.version, last.run_id)

    async def _poll(self) -> None:
        """Reads the registry and follows it. The first poll that completes settles which model answers."""
        try:
            self._apply_refusals()
            await self._read_registry()
            await self._check_origin()
            if self.state.in_production:
                await self._follow(self.state.in_production)
        except Exception as error:
            self._record_error(error)
            self._failed_polls += 1
            if self._live.ready or self._may_answer_soon():
                return
            await self._follow_cached()
        else:
            self._clear_error()
        self._live.settled = True

    def _may_answer_soon(self) -> bool:
        seconds = time.monotonic() - self._begun
        return self._failed_polls < MAX_FAILED_POLLS or seconds < 2 * self._settings.follow_seconds

    def _apply_refusals(self) -> None:
        """Reverts the last swap if another worker has since refused the served version."""
        self.state.refused = self._cache.refusals()
        own = [refusal for refusal in self.state.refused if refusal.matches(self._live.lineage)]
        if self._live.previous and any(refusal.at > self._live.since for refusal in own):
            self._after_swap(self._live.revert(), "returned")

    async def _read_registry(self) -> None:
        try:
            version = await self._registry.production_version()
        except RegistryUnavailable:
            self._metrics.looks.labels("away").inc()
            raise
        self._metrics.looks.labels("found" if version else "nothing").inc()
        if version is None and (self.state.in_production or self.state.checked_at is None):
            logger.warning("No version is in Production: %s.", self._serving_now())
        self.state.in_production, self.state.checked_at = version, datetime.now(UTC)
        if version:
            self._known_runs.add(version.run_id)
            self._cache.record_seen(version)

    async def _check_origin(self) -> None:
        """Withdraws a model of another registry, which may have been loaded before this one was read."""
        run_id = self._live.lineage.run_id
        if self._live.predictor is None or run_id in self._known_runs:
            return
        if await self._registry.has_run(run_id):
            self._known_runs.add(run_id)
        else:
            self._foreign_model = await withdraw(self._live, self._registry)
            self._update_serving_metric()

    async def _follow_cached(self) -> None:
        """Follows the version that another worker saw last, if it is cached, while the registry is unavailable."""
        try:
            seen = self._cache.seen()
            if seen and self._cache.model(seen.version).exists():
                await self._follow(seen.version)
        except Exception as error:
            self._record_error(error)

    async def _follow(self, version: ProductionVersion) -> None:
        if _serves(self._live.predictor, version) or self._cache.is_refused(version):
            return
        async with self._cache.lock():
            if self._cache.is_refused(version):  # by the worker that held the lock before
                return
            try:
                await self._adopt(version)
            except VersionRefused as refused:
                self._refuse(version, step=refused.step, why=str(refused))

    async def _adopt(self, version: ProductionVersion) -> None:
        previous = self._live.previous
        if previous and _serves(previous, version):
            await self._candidates.open_features(previous)
            self._after_swap(self._live.swap(previous), "kept")
            return
        new = await self._candidates.load(version)
        await self._candidates.open_features(new)
        if not self._cache.is_refused(version):  # another worker's new model may have failed meanwhile
            seconds = self._settings.probation_seconds
            self._after_swap(self._live.swap(new, probation_seconds=seconds), "new")

    def _refuse(self, version: VersionId, *, step: str, why: str) -> None:
        logger.warning("Version %s is refused (%s): %s", version.version, step, why)
        self._metrics.refused.labels(step).inc()
        refusal = Refusal(version=version.version, run_id=version.run_id, step=step, why=why, at=datetime.now(UTC))
        self.state.refused.append(refusal)
        self._cache.refuse(refusal)

    def _on_revert(self, failed: Predictor, why: str) -> None:
        """Called during a request that already has its answer: it must not raise."""
        self._after_swap(failed, "returned")
        try:
            self._refuse(_version_id(failed), step="answers", why=why[:MAX_REASON_LENGTH])
        except OSError:
            logger.exception("Version %s could not be refused for the other workers.", failed.lineage.version)

    def _after_swap(self, dropped: Predictor | None, outcome: str) -> None:
        served = self._live.current
        logger.info("Serving version %s (run %s): %s.", served.lineage.version, served.lineage.run_id, outcome)
        self._metrics.swaps.labels(outcome).inc()
        self._update_serving_metric()
        self._spawn(self._retire(dropped))
        try:
            self._cache.record_served(_version_id(served))
        except OSError:
            logger.exception("Version %s could not be recorded as served.", served.lineage.version)

    def _update_serving_metric(self) -> None:
        if self._live.predictor:
            self._served_versions.add(str(self._live.lineage.version))
        for version in self._served_versions:
            self._metrics.serving.labels(version).set(version == str(self._live.lineage.version))

    async def _retire(self, dropped: Predictor | None) -> None:
        """Closes a predictor after its last request, and frees its memory."""
        if dropped:
            await dropped.idle()
            if all(each.features is not dropped.features for each in self._live.predictors):
                await dropped.close()
        del dropped
        settle()

    def _record_error(self, error: Exception) -> None:
        """Logs the first error in a row; GET /model shows the current one."""
        text = follow_error(error)
        if not self.state.error:
            unexpected = None if isinstance(error, TRANSIENT) else error
            logger.warning("%s %s.", text, self._serving_now().capitalize(), exc_info=unexpected)
        self.state.error = text

    def _clear_error(self) -> None:
        if self.state.error:
            logger.warning("The registry answers again.")
        self.state.error = ""

    def _not_ready_reason(self) -> str:
        """Why there is no model; empty where no version is in production."""
        version = self.state.in_production
        if self.state.error:
            return f"{self.state.error} There is no model yet to answer: see GET /model."
        if version is None:
            return self._foreign_model
        reasons = [refusal.why for refusal in self.state.refused if refusal.key == version.key]
        return f"Version {version.version} is in Production, and is refused: {reasons[-1]}" if reasons else ""

    def _serving_now(self) -> str:
        if self._live.predictor is None:
            return "there is no model yet to answer"
        return f"version {self._live.lineage.version} keeps serving"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def follow_error(error: Exception) -> str:
    """A sentence on why the registry cannot be followed; for an OSError in the words of the system."""
    if isinstance(error, AsOfError):
        return str(error)
    why = error.strerror if isinstance(error, OSError) else None
    return f"Following failed ({type(error).__name__}{f': {why}' if why else ''})."


def _serves(predictor: Predictor | None, version: ProductionVersion) -> bool:
    return predictor is not None and version.matches(predictor.lineage)


def _version_id(predictor: Predictor) -> VersionId:
    return VersionId.model_construct(version=str(predictor.lineage.version), run_id=predictor.lineage.run_id)
