"""The shipper beside the workers: one for all services of a spool, which ends by itself after the last of them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from asof.files import try_lock
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.shipper import LOCK
from asof.ledger.spool.writer import Spool
from asof.serving.ledger.shipper_process import ShipperProcess, read_state
from asof.settings import SERVER_MARK, Settings
from tests.kits.machine.free_port import free_port
from tests.kits.service.ledger import encoder, one, rows

SHIPPED = "SELECT count(*), count(DISTINCT request) FROM ledger.predictions WHERE entity = %s"


def append(spool: Spool, entity: str, version: str) -> None:
    model = encoder(version)
    for _ in range(10):
        assert spool.append(model, one(model, new_request_id(), entity))


def shippers(folder: Path) -> list[psutil.Process]:
    """The running processes that hold the lock of this spool."""
    lock = str(folder / LOCK)
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any(each.path == lock for each in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE]


async def until(true: Callable[[], bool], seconds: float = 60) -> float:
    """How many seconds it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds
        await asyncio.sleep(0.1)
    return time.monotonic() - begun


def reap(*services: ShipperProcess) -> None:
    """The process of the worker ends, too, where it is not that of a test."""
    for each in services:
        if each._process:
            each._process.wait(10)


def is_free(folder: Path) -> bool:
    file = try_lock(folder / LOCK)
    if file:
        file.close()
    return file is not None


@pytest.fixture
def own(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A spool of its own; the shipper's process reads variables."""
    own = settings.model_copy(update={"ledger": "process", "ledger_spool": tmp_path / "spool"})
    for name, value in {**own.environment(), "ASOF_LEDGER_SPOOL": str(own.ledger_spool), SERVER_MARK: "x"}.items():
        monkeypatch.setenv(name, value)
    yield own
    assert shippers(own.ledger_folder) == []


def test_two_services_share_a_shipper_which_ships_the_rest_and_ends_after_both(own: Settings) -> None:
    folder = own.ledger_folder

    async def work() -> float:
        services, spools = [ShipperProcess(own) for _ in range(2)], [Spool(folder, 2**24) for _ in range(2)]
        for number, (service, spool) in enumerate(zip(services, spools, strict=True)):
            service.start()
            append(spool, "first", f"{number}")
        await until(lambda: (state := read_state(folder)) is not None and state.rows == 20)
        (shipper,) = shippers(folder)
        assert SERVER_MARK not in shipper.environ()  # else the end of one service would end it
        spools[0].close()
        services[0].close()
        append(spools[1], "second", "1")
        await until(lambda: (state := read_state(folder)) is not None and state.rows == 30)
        assert shippers(folder) == [shipper]
        shipper.terminate()  # as BentoML does with the children of a worker
        append(spools[1], "rest", "1")
        spools[1].close()
        services[1].close()
        seconds = await until(lambda: is_free(folder))
        reap(*services)
        return seconds

    assert asyncio.run(work()) < 5
    assert [rows(own, SHIPPED, each) for each in ("first", "second", "rest")] == [[(20, 20)], [(10, 10)], [(10, 10)]]
    assert list(folder.glob("*.frames")) == []


def test_without_its_database_the_shipper_ends_within_seconds_and_what_it_has_waits(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own.ledger_folder
    away = f"postgresql://nobody:x@127.0.0.1:{free_port(25_432, 'nobody')}/nothing"
    monkeypatch.setenv("ASOF_LEDGER_URL", away)

    async def work() -> float:
        service, spool = ShipperProcess(own.model_copy(update={"ledger_url": SecretStr(away)})), Spool(folder, 2**24)
        service.start()
        append(spool, "waiting", "1")
        await until(lambda: (state := read_state(folder)) is not None and bool(state.error))
        await asyncio.sleep(2.5)  # the state is looked at again
        assert service._metrics.lag._value.get() > 0
        spool.close()
        service.close()
        seconds = await until(lambda: is_free(folder))
        reap(service)
        return seconds

    assert asyncio.run(work()) < 10
    assert len(list(folder.glob("*.frames"))) == 1


def test_the_lag_of_a_shipper_that_is_gone_grows(own: Settings) -> None:
    folder = own.ledger_folder
    spool = Spool(folder, 2**24)
    append(spool, "gone", "1")
    (folder / "shipper.json").write_text('{"rows": 5, "looked_at": 1}')
    service = ShipperProcess(own)
    service._report()
    assert service._metrics.lag._value.get() > 1e9
    assert service._metrics.waiting._value.get() > 1000
    spool.close()
