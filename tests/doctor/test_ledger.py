"""The doctor on the ledger: answers that wait, a full spool, damaged files, missing partitions."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from asof.files import try_lock
from asof.ledger.request_id import new_request_id
from asof.ledger.schema import create_tables
from asof.ledger.spool.segments import quarantine, segment_paths
from asof.ledger.spool.shipper import LOCK, STATE
from asof.ledger.spool.writer import Spool
from asof.settings import PROJECT, Settings
from doctor.context import Context
from doctor.data.ledger import check_partitions, check_spool
from doctor.finding import Finding
from tests.kits.machine.free_port import free_port
from tests.kits.service.ledger import encoder, one, ship


@pytest.fixture
def context(settings: Settings, tmp_path: Path) -> Iterator[Context]:
    """A spool with one answer that a worker still writes."""
    own = settings.model_copy(update={"ledger_spool": tmp_path / "spool"})
    spool, model = Spool(own.ledger_folder, 2**20), encoder()
    assert spool.append(model, one(model, new_request_id()))
    yield Context(own, {}, PROJECT, Path())
    spool.close()


def found(context: Context) -> dict[str, Finding]:
    return {each.name: each for check in (check_spool, check_partitions) for each in check(context)}


def report(context: Context, **state: Any) -> None:
    """As a running shipper does."""
    (context.settings.ledger_folder / STATE).write_text(json.dumps({"looked_at": time.time(), **state}))


def test_without_a_spool_and_a_ledger_there_is_nothing_to_report(context: Context, tmp_path: Path) -> None:
    elsewhere = context.settings.model_copy(update={"ledger_spool": tmp_path / "nothing"})
    assert found(replace(context, settings=elsewhere)) == {}


def test_answers_that_wait_without_a_shipper_are_reported_until_one_ships(context: Context) -> None:
    folder = context.settings.ledger_folder
    assert "no shipper is running" in found(context)["ledger-shipper"].found
    with try_lock(folder / LOCK) as lock:
        assert lock
        assert "does not react" in found(context)["ledger-shipper"].found
    report(context)
    assert found(context) == {}


def test_an_error_and_a_delay_of_the_shipper_are_reported(context: Context) -> None:
    report(context, error="connection refused")
    assert found(context)["ledger-database"].found.endswith("connection refused.")
    report(context, oldest_at=int((time.time() - 300) * 1e6))
    assert "300 s late" in found(context)["ledger-lag"].found
    report(context, oldest_at=int(time.time() * 1e6))
    assert found(context) == {}


def test_a_spool_that_is_nearly_full_is_reported(context: Context) -> None:
    report(context)
    size = sum(path.stat().st_size for path in segment_paths(context.settings.ledger_folder))
    for share, names in ((0.79, []), (0.81, ["ledger-spool"]), (1.5, ["ledger-spool"])):
        settings = context.settings.model_copy(update={"ledger_spool_bytes": int(size / share)})
        assert [*found(replace(context, settings=settings))] == names


def test_a_damaged_file_is_reported_until_it_is_gone(context: Context) -> None:
    report(context)
    moved = quarantine(segment_paths(context.settings.ledger_folder)[0])
    assert moved.name in found(context)["ledger-quarantine"].found
    moved.unlink()
    assert found(context) == {}


def test_a_missing_partition_is_reported_until_it_is_made(context: Context) -> None:
    report(context)
    with psycopg.connect(context.settings.ledger_conninfo(), autocommit=True) as connection:
        create_tables(connection)
        assert found(context) == {}
        connection.execute(f"DROP TABLE ledger.predictions_{datetime.now(UTC):%Y_%m}".encode())
        assert f"no partition predictions_{datetime.now(UTC):%Y_%m}." in found(context)["ledger-partitions"].found
    ship(context.settings, context.settings.ledger_folder)
    assert found(context) == {}


def test_a_ledger_elsewhere_that_is_away_is_reported_without_its_password(context: Context) -> None:
    report(context)
    away = SecretStr(f"postgresql://me:hush@127.0.0.1:{free_port(25_433, 'nobody')}/ledger")
    away_too = replace(context, settings=context.settings.model_copy(update={"ledger_url": away}))
    finding = found(away_too)["ledger-connection"]
    assert "hush" not in finding.found + finding.fix
