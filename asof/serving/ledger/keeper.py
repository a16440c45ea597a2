"""LedgerKeeper: writes each answer of a worker to the spool before it leaves, and knows how it is kept."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from asof.errors import NOT_KEPT, LedgerFull
from asof.ledger.answers import Answers, ReadColumns, Single
from asof.ledger.spool.encoder import Encoder
from asof.ledger.spool.writer import FAILED, Spool
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
        self._spool: Spool | None = None
        if self.on:
            size, durable = settings.ledger_spool_bytes, self._kept is Kept.DISK
            self._spool = Spool(settings.ledger_folder, size, self._lost, durable=durable)
        self._shipper: ShipperProcess | None = None

    @property
    def on(self) -> bool:
        return self._kept is not Kept.NONE

    async def keep(self, source: AnswerSource, singles: Sequence[Single], *, required: bool = True) -> Kept:
        """Keeps answers of /predict, computed together.

        Raises LedgerFull where they could not be kept, although the settings require it; not with `required` False.
        """
        spool, count = self._spool, len(singles)
        if spool is None:
            return Kept.NONE
        kept = spool.append(source.encoder, source.encoder.singles(singles), count)
        if kept and self._kept is Kept.DISK:
            kept = self._synced(await asyncio.to_thread(spool.sync), count)
        return self._result(kept, count, required=required)

    def keep_batch(self, scope: Scope, source: AnswerSource, answers: Answers, read: ReadColumns | None) -> Kept:
        """Keeps answers of /predict/batch; blocks. Raises LedgerFull as `keep` does."""
        spool, count = self._spool, len(answers.items)
        if spool is None:
            return Kept.NONE
        state = scope["state"]
        frame = source.encoder.many(state["request_id"], state.get(KEY), answers, read)
        kept = spool.append(source.encoder, frame, count)
        if kept and self._kept is Kept.DISK:
            kept = self._synced(spool.sync(), count)
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

    def _synced(self, synced: bool, count: int) -> bool:
        if not synced:
            self._lost(FAILED, count)
        return synced

    def _lost(self, reason: str, count: int) -> None:
        self._metrics.lost.labels(reason).inc(count)
