"""The process of a challenger: follows the registry, reads the spool, scores, and writes down what it knows."""

import asyncio
import logging
import time
from pathlib import Path

from asof.ledger.spool.segments import is_closed
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from asof.serving.following.model_cache import ModelCache
from asof.serving.following.steps import TRANSIENT, VersionRefused
from asof.serving.prediction.memory import settle
from asof.serving.shadow.challenger import Candidates, Challenger, NoChallenger
from asof.serving.shadow.limits.watchdog import watched
from asof.serving.shadow.scorer import Scorer
from asof.serving.shadow.state import State, Status, read_state, state_file, workers_file, write_state
from asof.serving.shadow.tail import Tail
from asof.settings import Settings
from asof.trust.signing_keys import TrustedKeys
from asof.use_case import UseCase

logger = logging.getLogger("asof.serving")

POLL_SECONDS = 0.25
REPORT_SECONDS = 1.0
MAX_READS = 8
"""Of the spool, before the registry and the workers are looked at again."""
LOAD_SECONDS, MAX_LOAD_SECONDS = 120.0, 600.0
"""Of a processor, and in all, after which a model that is loaded hangs."""
CHECK_SECONDS = 60.0
"""Between two comparisons of the registered features with those of the challenger."""


class ShadowProcess:
    """Runs until no worker of the service is left. The caller holds the lock of `state.lock_file`."""

    def __init__(self, settings: Settings, use_case: UseCase, keys: TrustedKeys, *, bento: str, cache: Path) -> None:
        self._settings, self._use_case, self._bento = settings, use_case, bento
        self._folder = settings.ledger_folder
        self._file = state_file(self._folder, use_case.model_name)
        self._state = read_state(self._file) or State()
        self._registry = MlflowRegistry(settings.registry, use_case.model_name, keys)
        self._candidates = Candidates(settings, use_case, keys, self._registry, ModelCache(cache))
        self._challenger: Challenger | None = None
        self._tail = Tail(self._folder, use_case.name, self._state.places)
        self._scorer = Scorer(settings, self._state, slow=use_case.gate.latency_seconds, save=self._save)
        self._followed_at = self._checked_at = -float("inf")

    def run(self) -> None:
        self._scorer.recover(self._tail)
        if self._state.status == Status.SCORING:  # as the process before left it
            self._state.status = Status.STARTING
        self._save()
        with asyncio.Runner() as runner:
            ended = False
            while not ended:
                ended = is_closed(workers_file(self._folder, self._use_case.model_name))
                runner.run(self._follow())
                self._tell()
                self._score()
                self._tell()
                self._report()
                if not ended:
                    time.sleep(POLL_SECONDS)
            runner.run(self._registry.close())
        self._scorer.close()
        self._save()

    def _score(self) -> None:
        for _ in range(MAX_READS):
            if not (kept := self._tail.read()):
                return
            self._scorer.score(kept, self._challenger)

    async def _follow(self) -> None:
        """Looks at the registry every `follow_seconds`; while that is away, the challenger stays."""
        now = time.monotonic()
        if now < self._followed_at + self._settings.follow_seconds:
            return
        self._followed_at = now
        try:
            await self._adopt(await self._candidates.wanted())
        except NoChallenger as none:
            self._begin("", "")
            self._say(Status.IDLE, str(none))
        except VersionRefused as refused:
            self._begin(self._state.version, self._state.run_id)
            self._say(Status.REFUSED, f"{refused} (step {refused.step})")
        except TRANSIENT as error:
            if self._challenger is None:
                self._say(Status.STARTING, str(error))

    async def _adopt(self, version: ProductionVersion) -> None:
        if (self._state.version, self._state.run_id) != (version.version, version.run_id):
            self._begin(version.version, version.run_id)
            self._state.status, self._state.why = Status.STARTING, ""  # while it is loaded
        if self._state.breaker.is_open(time.time()):
            return
        now, loaded = time.monotonic(), self._challenger
        if loaded is None or loaded.version.key != version.key:
            self._challenger = await self._load(version)
            self._checked_at = now
        elif now > self._checked_at + CHECK_SECONDS:
            await self._candidates.check(loaded.model)
            self._checked_at = now

    async def _load(self, version: ProductionVersion) -> Challenger:
        """Says first what it tries, for the case that the process does not survive it."""
        self._state.trying = version.key
        self._save()
        try:
            with watched(LOAD_SECONDS, MAX_LOAD_SECONDS):
                return await self._candidates.load(version, self._bento)
        finally:
            self._state.trying = ""
            self._scorer.budget.forgive()
            settle()

    def _begin(self, version: str, run_id: str) -> None:
        """Another challenger begins with a clean record; the counts of answers go on, as metrics do."""
        self._challenger, self._scorer.misfit = None, ""
        self._state.version, self._state.run_id = version, run_id
        self._state.breaker.record_good()

    def _say(self, status: Status, why: str) -> None:
        """Logs what is new; of a pause only the first reason."""
        state = self._state
        if (state.status, state.why) != (status, why) and not state.status == status == Status.PAUSED:
            which = f"version {state.version}" if state.version else "no version"
            logger.warning("Shadow: %s is %s%s", which, status, f": {why}" if why else ".")
        state.status, state.why = status, why

    def _tell(self) -> None:
        """Whether it scores or pauses. A pause ends with a good call, not with its time."""
        breaker = self._state.breaker
        if breaker.pauses:
            self._say(Status.PAUSED, breaker.why)
        elif self._challenger:
            misfit = self._scorer.misfit
            self._say(Status.REFUSED if misfit else Status.SCORING, misfit)

    def _report(self) -> None:
        """Writes the state, at most once a second."""
        if time.time() - self._state.looked_at > REPORT_SECONDS:
            self._save()

    def _save(self) -> None:
        self._state.places, self._state.looked_at = self._tail.places, time.time()
        write_state(self._file, self._state)
