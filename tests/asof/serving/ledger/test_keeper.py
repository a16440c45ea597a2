"""LedgerKeeper: what an answer says of how it is kept is true, whatever the disk does."""

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest

from asof.errors import LedgerFull
from asof.ledger.answers import Answer, ReadValues, Single
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.frames import frames
from asof.serving.ledger.keeper import Kept, LedgerKeeper
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings
from tests.kits.service.ledger import BY_VIEW, VALUES, encoder


class Source:
    encoder = encoder()


def single() -> Single:
    return Single(new_request_id(), None, Answer("u1", 200, None, 0.25, 0), ReadValues(VALUES, BY_VIEW))


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ledger="process", ledger_spool=tmp_path, ledger_ship=False)


def lost(metrics: Metrics) -> float:
    return sum(metrics.lost.labels(reason)._value.get() for reason in ("full", "failed"))


def requests_in(content: bytes) -> set[str]:
    return {each for frame in frames(content, 0) if frame.model is None for each in frame.header["requests"]}


def test_without_a_ledger_nothing_is_kept_and_nothing_written(tmp_path: Path, metrics: Metrics) -> None:
    keeper = LedgerKeeper(Settings(ledger="off", ledger_spool=tmp_path / "none"), metrics)
    assert asyncio.run(keeper.keep(Source(), [single()])) is Kept.NONE
    assert not (tmp_path / "none").exists()


def test_what_a_full_disk_does_not_take_is_told_and_leaves_no_half_frame(
    settings: Settings, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, before, real = LedgerKeeper(settings, metrics), lost(metrics), os.pwrite
    kept = [asyncio.run(keeper.keep(Source(), [good := single()]))]
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda file, content, at: real(file, content[: len(content) // 2], at))
        kept.append(asyncio.run(keeper.keep(Source(), [single()])))
        full.setattr(os, "pwrite", raising(OSError(errno.ENOSPC, "No space left on device")))
        kept.append(asyncio.run(keeper.keep(Source(), [single(), single()])))
    kept.append(asyncio.run(keeper.keep(Source(), [after := single()])))
    assert kept == [Kept.PROCESS, Kept.NONE, Kept.NONE, Kept.PROCESS]
    assert lost(metrics) - before == 3
    (file,) = settings.ledger_folder.glob("*.frames")
    assert requests_in(file.read_bytes()) == {good.request_id, after.request_id}


def raising(error: OSError):  # type: ignore[no-untyped-def]
    def fail(*_: object) -> int:
        raise error

    return fail


def test_a_required_ledger_refuses_an_answer_that_it_cannot_keep(settings: Settings, metrics: Metrics) -> None:
    small = settings.model_copy(update={"ledger_required": True, "ledger_spool_bytes": 1})
    keeper = LedgerKeeper(small, metrics)
    with pytest.raises(LedgerFull):
        asyncio.run(keeper.keep(Source(), [single()]))
    assert asyncio.run(keeper.keep(Source(), [single()], required=False)) is Kept.NONE


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """How many bytes of each file, by its inode, would survive a power cut now."""
    sizes: dict[int, int] = {}
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        size = os.fstat(file)
        real(file)
        sizes[size.st_ino] = max(size.st_size, sizes.get(size.st_ino, 0))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return sizes


def test_a_power_cut_loses_no_answer_that_said_disk(
    settings: Settings, metrics: Metrics, synced: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are cut where they were last synced, at a hundred moments, over several of them."""
    monkeypatch.setattr("asof.ledger.spool.writer.SEGMENT_BYTES", 20_000)
    keeper = LedgerKeeper(settings.model_copy(update={"ledger": "disk"}), metrics)
    draw, acknowledged, checks = random.Random(1), set[str](), 0

    async def client() -> None:
        for _ in range(40):
            own = [single() for _ in range(draw.randint(1, 5))]
            if await keeper.keep(Source(), own) is Kept.DISK:
                acknowledged.update(each.request_id for each in own)
            await asyncio.sleep(0)

    async def power_cuts() -> None:
        nonlocal checks
        for _ in range(100):
            await asyncio.sleep(draw.random() / 500)
            said, survives = set(acknowledged), set[str]()
            for file in settings.ledger_folder.glob("*.frames"):
                survives |= requests_in(file.read_bytes()[: synced.get(file.stat().st_ino, 0)])
            assert said <= survives
            checks += bool(said)

    async def both() -> None:
        await asyncio.gather(power_cuts(), *(client() for _ in range(8)))

    asyncio.run(both())
    assert len(acknowledged) > 500
    assert checks > 20
    assert len(list(settings.ledger_folder.glob("*.frames"))) > 2
