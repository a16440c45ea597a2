"""The shipper against real PostgreSQL: each answer once, whatever is torn, damaged, away or killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from pydantic import SecretStr

from asof.ledger.request_id import new_request_id
from asof.ledger.spool import frames
from asof.ledger.spool import shipper as shipping
from asof.ledger.spool.segments import set_aside
from asof.ledger.spool.shipper import State
from asof.ledger.spool.writer import FULL, Spool
from asof.settings import PROJECT, Settings
from tests.kits.service.ledger import encoder, one, rows, ship

COUNT = "SELECT count(*), count(DISTINCT request) FROM ledger.predictions WHERE entity = %s"


def append(spool: Spool, entity: str, count: int) -> None:
    model = encoder()
    for _ in range(count):
        assert spool.append(model, one(model, new_request_id(), entity))


def test_what_is_shipped_is_not_shipped_again(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**24)
    append(spool, "again", 10)
    ship(settings, tmp_path)
    assert ship(settings, tmp_path).rows == 0
    append(spool, "again", 5)
    assert ship(settings, tmp_path).rows == 5
    spool.close()
    assert ship(settings, tmp_path).rows == 0
    assert list(tmp_path.glob("*.frames")) == []
    assert rows(settings, COUNT, "again") == [(15, 15)]


def test_a_failed_transaction_ships_nothing_and_the_next_everything(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 2**24)
    append(spool, "failed", 10)
    with monkeypatch.context() as broken:
        broken.setattr(shipping, "RECORD", shipping.RECORD.replace("segment,", "no_such_column,"))
        with pytest.raises(psycopg.errors.UndefinedColumn):
            ship(settings, tmp_path)
    assert rows(settings, COUNT, "failed") == [(0, 0)]
    assert ship(settings, tmp_path).rows == 10


def test_an_incomplete_frame_at_the_end_of_a_dead_workers_file_is_left_out(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**24)
    append(spool, "torn", 10)
    spool.close()
    (path,) = tmp_path.glob("*.frames")
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 7)
    assert ship(settings, tmp_path).rows == 9
    assert not path.exists()


def test_a_frame_that_is_still_being_written_waits(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**24)
    append(spool, "half", 2)
    (path,) = tmp_path.glob("*.frames")
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    assert ship(settings, tmp_path).rows == 1
    path.write_bytes(content)
    assert ship(settings, tmp_path).rows == 1


def test_a_damaged_file_is_set_aside_after_its_whole_frames(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**24)
    append(spool, "damaged", 10)
    spool.close()
    (path,) = tmp_path.glob("*.frames")
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[len(damaged) * 3 // 4] ^= 1
    path.write_bytes(damaged)
    state = ship(settings, tmp_path)
    assert 0 < state.rows < 10
    (aside,) = (tmp_path / "quarantine").iterdir()
    assert "checksum" in state.quarantined[0]
    aside.write_bytes(content)
    aside.rename(path)
    ship(settings, tmp_path)
    assert rows(settings, COUNT, "damaged") == [(10, 10)]


def test_rows_that_the_database_refuses_are_set_aside_and_stop_no_other_file(
    settings: Settings, tmp_path: Path
) -> None:
    spool, model = Spool(tmp_path, 2**24), encoder()
    (frame,) = frames.frames(one(model, new_request_id(), "refused"), 0)
    header = {**frame.header, "at": 1}  # 1970: there is no such partition
    spool.append(model, frames.encode(header, bytes(frame.blocks)))
    spool.close()
    append(spool, "after", 3)
    state = ship(settings, tmp_path)
    assert (state.rows, len(state.quarantined)) == (3, 1)


def test_a_frame_of_another_version_is_set_aside_and_stops_no_other_file(settings: Settings, tmp_path: Path) -> None:
    spool, model = Spool(tmp_path, 2**24), encoder()
    (frame,) = frames.frames(one(model, new_request_id(), "strange"), 0)
    header = {name: each for name, each in frame.header.items() if name != "requests"}
    spool.append(model, frames.encode(header, bytes(frame.blocks)))
    spool.close()
    append(spool, "beside", 3)
    state = ship(settings, tmp_path)
    assert (state.rows, state.quarantined[0].rpartition(": ")[0][-8:]) == (3, "KeyError")
    assert len(set_aside(tmp_path)) == 1


def test_beyond_its_size_the_spool_keeps_nothing_and_counts(tmp_path: Path) -> None:
    lost: list[tuple[str, int]] = []
    spool, model = Spool(tmp_path, 4000, lambda *each: lost.append(each)), encoder()
    kept = [spool.append(model, one(model, new_request_id())) for _ in range(50)]
    assert kept.count(True) + len(lost) == 50
    assert 0 < len(lost) < 50
    assert set(lost) == {(FULL, 1)}
    assert sum(path.stat().st_size for path in tmp_path.glob("*.frames")) <= 4000


def test_a_killed_shipper_loses_and_doubles_nothing(settings: Settings, tmp_path: Path) -> None:
    """SIGKILL at moments that depend on what the shipper has done; another one goes on."""
    spool = Spool(tmp_path / "ledger", 2**26)
    environment = {**os.environ, **settings.environment(), "ASOF_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    for number in range(6):
        process = subprocess.Popen([sys.executable, "-m", "asof.serving.ledger"], env=environment, cwd=tmp_path)
        append(spool, "killed", 400)
        until = time.monotonic() + 60
        while rows_of(settings, "killed") < 400 * number + 1 and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    spool.close()
    ship(settings, tmp_path / "ledger")
    assert rows(settings, COUNT, "killed") == [(2400, 2400)]
    assert not list((tmp_path / "ledger").glob("*.frames"))


def rows_of(settings: Settings, entity: str) -> int:
    try:
        return int(rows(settings, COUNT, entity)[0][0])
    except psycopg.errors.UndefinedTable:
        return 0


def test_without_its_database_the_shipper_waits_and_says_so(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "ledger", 2**24)
    append(spool, "away", 5)
    environment = {**os.environ, **settings.environment(), "ASOF_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    environment["ASOF_LEDGER_URL"] = "postgresql://nobody:x@127.0.0.1:1/ledger"
    process = subprocess.Popen(
        [sys.executable, "-m", "asof.serving.ledger"], env=environment, stderr=subprocess.PIPE, text=True
    )
    state, until = State(), time.monotonic() + 60
    while not state.error and time.monotonic() < until:
        file = tmp_path / "ledger" / "shipper.json"
        state = State(**json.loads(file.read_text())) if file.exists() else state
        time.sleep(0.05)
    process.terminate()
    _, logged = process.communicate()
    assert "refused" in state.error
    assert state.waiting_bytes > 0
    assert logged.count("Answers wait in") == 1


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_draining_it_goes_on_after_sigterm_until_the_last_worker_has_ended(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "ledger", 2**24)
    append(spool, "drained", 3)
    environment = {**os.environ, **settings.environment(), "ASOF_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    words = [sys.executable, "-m", "asof.serving.ledger", "--drain"]
    with subprocess.Popen(words, env=environment, cwd=tmp_path) as process:
        until(lambda: rows_of(settings, "drained") == 3)
        process.terminate()
        append(spool, "drained", 4)
        until(lambda: rows_of(settings, "drained") == 7)
        assert process.poll() is None
        append(spool, "drained", 5)
        spool.close()
        assert process.wait(60) == 0
    assert rows(settings, COUNT, "drained") == [(12, 12)]
    assert not list((tmp_path / "ledger").glob("*.frames"))


def test_draining_it_waits_for_its_database_while_something_would_be_lost(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "RETRY_SECONDS", 0.1)
    spool, ending = Spool(tmp_path, 2**24), Event()
    append(spool, "late", 5)
    spool.close()
    ending.set()
    url = settings.database("draining").render_as_string(hide_password=False)
    late = settings.model_copy(update={"ledger_url": SecretStr(url)})
    options = {"with_workers": False, "ending": ending}
    shipper = Thread(target=shipping.run, args=(tmp_path, late.ledger_conninfo()), kwargs=options)
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as administrator:
        shipper.start()
        until(lambda: "does not exist" in reported(tmp_path))
        administrator.execute("CREATE DATABASE draining")
        shipper.join(60)
        assert not shipper.is_alive()
        assert not list(tmp_path.glob("*.frames"))
        assert rows(late, COUNT, "late") == [(5, 5)]
        administrator.execute("DROP DATABASE draining")


def reported(folder: Path) -> str:
    file = folder / "shipper.json"
    return State(**json.loads(file.read_text())).error if file.exists() else ""
