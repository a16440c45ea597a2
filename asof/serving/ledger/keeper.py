"""LedgerKeeper: writes each answer of a worker to the spool before it leaves, and knows how it is kept."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from asof.errors import NOT_KEPT, LedgerFull
from asof.ledger.answers import Answer, Answers, Encoder, ReadColumns, ReadValues
from asof.ledger.spool import FAILED, Spool
from asof.serving.features.batching import Batcher
from asof.serving.logs.access_log import KEY
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings

if TYPE_CHECKING:
    from asof.serving.ledger.shipper_process import ShipperProcess

HEADER = "AsOf-Kept"


class Kept(StrEnum):
    """How an answer is kept: until the disk fails, through a kill of the process but no power cut, or not at all."""

    DISK = "disk"
    PROCESS = "process"
    NONE = "none"

    @property
    def header(self) -> tuple[bytes, bytes]:
        """The header of the answer."""
        return RAW_HEADERS[self]


RAW_HEADERS = {each: (HEADER.lower().encode(), each.encode()) for each in Kept}


class AnswerSource(Protocol):
    """The Predictor that answers, or the Worker where it has none yet."""

    @property
    def encoder(self) -> Encoder: ...


class LedgerKeeper:
    """One for each worker. Without a ledger nothing is kept."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._counters = {each: metrics.kept.labels(each) for each in Kept}
        self._kept = Kept(settings.ledger) if settings.ledger != "off" else Kept.NONE
        on = self._kept is not Kept.NONE
        self._spool = Spool(settings.ledger_folder, settings.ledger_spool_bytes, self._lost) if on else None
        self._shipper: ShipperProcess | None = None
        self._syncs: Batcher[None, bool] = Batcher(self._sync)

    @property
    def on(self) -> bool:
        return self._spool is not None

    async def keep(
        self, scope: Scope, source: AnswerSource, answer: Answer, read: ReadValues | None, *, required: bool = True
    ) -> Kept:
        """Keeps an answer of /predict.

        Raises LedgerFull where it could not be kept, although the settings require it; not with `required` False.
        """
        spool = self._spool
        if spool is None:
            return Kept.NONE
        state = scope["state"]
        frame = source.encoder.one(state["request_id"], state.get(KEY), answer, read)
        kept = spool.append(source.encoder, frame)
        if kept and self._kept is Kept.DISK:
            kept = await self._syncs.submit(None)
            if not kept:
                self._lost(FAILED, 1)
        return self._result(kept, 1, required=required)

    def keep_batch(self, scope: Scope, source: AnswerSource, answers: Answers, read: ReadColumns | None) -> Kept:
        """Keeps answers of /predict/batch; blocks. Raises LedgerFull as `keep` does."""
        spool, count = self._spool, len(answers.items)
        if spool is None:
            return Kept.NONE
        state = scope["state"]
        frame = source.encoder.many(state["request_id"], state.get(KEY), answers, read)
        kept = spool.append(source.encoder, frame, count)
        if kept and self._kept is Kept.DISK and not spool.sync():
            kept = False
            self._lost(FAILED, count)
        return self._result(kept, count, required=True)

    def start(self) -> None:
        """Sees to it that a shipper runs; call it inside the event loop."""
        if self._spool:
            from asof.serving.ledger.shipper_process import ShipperProcess

            self._shipper = ShipperProcess(self._settings)
            self._shipper.start()

    def close(self) -> None:
        if self._spool:
            self._spool.close()
        if self._shipper:
            self._shipper.close()

    def _result(self, kept: bool, count: int, *, required: bool) -> Kept:
        result = self._kept if kept else Kept.NONE
        self._counters[result].inc(count)
        if not kept and required and self._settings.ledger_required:
            raise LedgerFull(NOT_KEPT)
        return result

    async def _sync(self, waiting: Sequence[None]) -> Sequence[bool]:
        assert self._spool is not None  # noqa: S101 - its callers have appended
        return [await asyncio.to_thread(self._spool.sync)] * len(waiting)

    def _lost(self, reason: str, count: int) -> None:
        self._metrics.lost.labels(reason).inc(count)
