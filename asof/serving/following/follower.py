"""What the registry has in Production -> the model that this worker serves: looked at, proven, swapped, or refused.

One task for each worker. A version goes through every step before it answers its first request; where it fails one, it
is refused: what was served goes on, and nobody asks for that version again while it stays in Production. Where the
registry or the feature store does not answer, nothing is known of the version, and the next look tries again. A worker
without a model begins with the one that answered last in its folder, where there is one.
"""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from asof.errors import AsOfError, RegistryUnavailable
from asof.serving.following.candidates import CandidateLoader
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from asof.serving.following.model_cache import Found, ModelCache, Refusal
from asof.serving.following.origin import withdraw
from asof.serving.following.steps import MOST, PASSING, Refused
from asof.serving.logs.metrics import FollowMetrics
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.memory import settle
from asof.serving.prediction.predictor import Predictor

logger = logging.getLogger("asof.serving")

TRIES = 3
"""Looks without an answer after which a worker that starts serves what it has."""


class Follower:
    """Keeps one worker's LiveModel in step with the registry."""

    def __init__(
        self, live: LiveModel, registry: MlflowRegistry, shelf: ModelCache, *, candidates: CandidateLoader
    ) -> None:
        self.found = Found()
        self._live, self._registry, self._shelf, self._candidates = live, registry, shelf, candidates
        self._settings = live.worker.settings
        self._metrics = FollowMetrics()
        self._served: set[str] = set()
        self._known: set[str] = set()
        self._stranger = ""
        self._show_served()
        self._tries = 0
        self._tasks: set[asyncio.Task[None]] = set()
        live.on_revert, live.reason = self._on_return, self._why

    def start(self) -> None:
        """Begins to look; to be called inside the event loop."""
        self._spawn(self._run())

    async def close(self) -> None:
        """Stops looking, and closes the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._registry.close()

    async def _run(self) -> None:
        if self._live.predictor is None:
            await self._resume()
        while True:
            await self._turn()
            await asyncio.sleep(self._settings.follow_seconds)

    async def _resume(self) -> None:
        """Takes up the model that answered last, where it still loads: what the Bento's own is to others."""
        try:
            async with self._shelf.alone():
                last = self._shelf.served()
                if last:
                    await self._begin_with(last)
        except Exception as error:
            self._in_trouble(error)

    async def _begin_with(self, last: ProductionVersion) -> None:
        try:
            new = await self._candidates.prepared(last)
        except Refused as refused:  # of this copy: the registry may have a good one
            logger.warning("Version %s answered last, but is of no use any more: %s", last.version, refused)
            self._shelf.forget(last)
            return
        new.start().add_done_callback(lambda _: settle())
        self._live.swap(new)
        self._show_served()
        logger.info("Version %s (run %s) answered last: it begins with that.", last.version, last.run_id)

    async def _turn(self) -> None:
        """One look, and what follows from it. The first turn that comes to an end settles who answers."""
        try:
            self._obey()
            await self._look()
            await self._check_origin()
            if self.found.in_production:
                await self._follow(self.found.in_production)
        except Exception as error:
            self._in_trouble(error)
            self._tries += 1
            if self._live.ready or self._tries < TRIES:
                return
            await self._follow_blindly()
        else:
            self._out_of_trouble()
        self._live.settled = True

    def _obey(self) -> None:
        """What another worker refuses for its failures, this one gives up, too."""
        self.found.refused = self._shelf.refusals()
        served = self._live.lineage
        own = [each for each in self.found.refused if each.is_of(served.version, served.run_id)]
        if self._live.previous and any(refusal.at > self._live.since for refusal in own):
            self._swapped(self._live.revert(), "returned")

    async def _look(self) -> None:
        try:
            found = await self._registry.look()
        except RegistryUnavailable:
            self._metrics.looks.labels("away").inc()
            raise
        self._metrics.looks.labels("found" if found else "nothing").inc()
        if found is None and (self.found.in_production or self.found.checked_at is None):
            logger.warning("No version is in Production: %s.", self._meanwhile())
        self.found.in_production, self.found.checked_at = found, datetime.now(UTC)
        if found:
            self._known.add(found.run_id)
            self._shelf.saw(found)

    async def _check_origin(self) -> None:
        """A model that was here before the registry was asked may be one of another registry: it goes."""
        run_id = self._live.lineage.run_id
        if self._live.predictor is None or run_id in self._known:
            return
        if await self._registry.has_run(run_id):
            self._known.add(run_id)
        else:
            self._stranger = await withdraw(self._live, self._registry)
            self._show_served()

    async def _follow_blindly(self) -> None:
        """A worker that starts while the registry is away takes what the others last saw, if they have it."""
        try:
            seen = self._shelf.seen()
            if seen and self._shelf.model(seen.version).exists():
                await self._follow(seen.version)
        except Exception as error:
            self._in_trouble(error)

    async def _follow(self, found: ProductionVersion) -> None:
        if _is(self._live.predictor, found) or self._shelf.is_refused(found):
            return
        async with self._shelf.alone():
            if self._shelf.is_refused(found):  # by the worker that was here before
                return
            try:
                await self._take_over(found)
            except Refused as refused:
                self._refuse(found.version, found.run_id, step=refused.step, why=str(refused))

    async def _take_over(self, found: ProductionVersion) -> None:
        kept = self._live.previous
        if kept and _is(kept, found):
            await self._candidates.open(kept)
            self._swapped(self._live.swap(kept), "kept")
            return
        new = await self._candidates.prepared(found)
        await self._candidates.open(new)
        if not self._shelf.is_refused(found):  # meanwhile, for its failures elsewhere
            seconds = self._settings.probation_seconds
            self._swapped(self._live.swap(new, probation_seconds=seconds), "new")

    def _refuse(self, version: str, run_id: str, *, step: str, why: str) -> None:
        logger.warning("Version %s is refused (%s): %s", version, step, why)
        self._metrics.refused.labels(step).inc()
        refusal = Refusal(version, run_id, step, why, at=datetime.now(UTC))
        self.found.refused.append(refusal)
        self._shelf.refuse(refusal)

    def _on_return(self, failed: Predictor, why: str) -> None:
        """In the middle of a request, which has its answer already: nothing may be raised."""
        version, run_id = failed.lineage.version, failed.lineage.run_id
        self._swapped(failed, "returned")
        try:
            self._refuse(str(version), run_id, step="answers", why=why[:MOST])
        except OSError:
            logger.exception("The other workers could not be told that version %s is refused.", version)

    def _swapped(self, dropped: Predictor | None, outcome: str) -> None:
        served = self._live.lineage
        logger.info("Version %s (run %s) answers from now on: %s.", served.version, served.run_id, outcome)
        self._metrics.swaps.labels(outcome).inc()
        self._show_served()
        self._spawn(self._retire(dropped))
        try:
            self._shelf.serves(str(served.version), served.run_id)
        except OSError:
            logger.exception("It could not be written down that version %s answers.", served.version)

    def _show_served(self) -> None:
        if self._live.predictor:
            self._served.add(str(self._live.lineage.version))
        for each in self._served:
            self._metrics.serving.labels(each).set(each == str(self._live.lineage.version))

    async def _retire(self, dropped: Predictor | None) -> None:
        """Closes what nobody needs any more, once its last request has its answer, and frees its memory."""
        if dropped:
            await dropped.idle()
            if all(each.features is not dropped.features for each in self._live.predictors):
                await dropped.close()
        del dropped
        settle()

    def _in_trouble(self, error: Exception) -> None:
        """Logs once that it began; GET /model tells how it is now."""
        trouble = trouble_of(error)
        if not self.found.trouble:
            unexpected = None if isinstance(error, PASSING) else error
            logger.warning("%s %s.", trouble, self._meanwhile().capitalize(), exc_info=unexpected)
        self.found.trouble = trouble

    def _why(self) -> str:
        """Why no model is here; empty where none is in Production."""
        found = self.found.in_production
        if self.found.trouble:
            return f"{self.found.trouble} There is no model yet to answer: see GET /model."
        if found is None:
            return self._stranger
        refusals = [each.why for each in self.found.refused if each.is_of(found.version, found.run_id)]
        return f"Version {found.version} is in Production, and is refused: {refusals[-1]}" if refusals else ""

    def _meanwhile(self) -> str:
        """What becomes of requests while nothing new is taken over."""
        return (
            f"version {self._live.lineage.version} goes on"
            if self._live.predictor
            else "there is no model yet to answer"
        )

    def _out_of_trouble(self) -> None:
        if self.found.trouble:
            logger.warning("The registry answers.")
        self.found.trouble = ""

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def trouble_of(error: Exception) -> str:
    """A sentence: why nothing new can be taken over. Of what the system refuses, a full disk say, its own word."""
    if isinstance(error, AsOfError):
        return str(error)
    why = error.strerror if isinstance(error, OSError) else None
    return f"Following failed ({type(error).__name__}{f': {why}' if why else ''})."


def _is(predictor: Predictor | None, found: ProductionVersion) -> bool:
    served = predictor.lineage if predictor else None
    return served is not None and (served.version, served.run_id) == (found.version, found.run_id)
