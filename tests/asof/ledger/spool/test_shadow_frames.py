"""Shadow scores: from a frame to rows of their table, in ledgers that have none yet, and without an erased entity."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from asof.ledger.request_id import new_request_id
from asof.ledger.schema import create_tables
from asof.ledger.spool.frames import Frame, frames
from asof.ledger.spool.shadow_frames import ShadowScores, encode_scores
from asof.ledger.spool.shipper import Shipper, State
from asof.ledger.spool.writer import Spool
from asof.settings import Settings
from tests.kits.service.ledger import encoder, one, rows, ship
from training.erasure.copies.files.spool_frames import without

NOW = 1_796_104_980_297_976
ALL = (
    "SELECT request::text, item, score, scores, decision, entity, code FROM ledger.shadow_scores ORDER BY item, request"
)


def scores(count: int = 2, **changes: Any) -> ShadowScores:
    requests = sorted(new_request_id() for _ in range(count))
    made = ShadowScores(
        NOW, requests, ["u1", "u2"][:count], [-1, 3][:count], [0.25, None][:count], [0, None][:count], {}
    )
    return replace(made, **changes)


def shipped(settings: Settings, folder: Path, made: ShadowScores) -> list[tuple[Any, ...]]:
    spool, model = Spool(folder, 2**24), encoder("9")
    assert spool.append(model, encode_scores(model.model, made))
    spool.close()
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        create_tables(connection)
        connection.execute("SELECT ledger.make_partitions('2026-11-01', '2026-12-31')")
    ship(settings, folder)
    found = rows(settings, ALL)
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("TRUNCATE ledger.shadow_scores")
    return found


def test_scores_and_failures_are_rows_with_the_answers_ids(settings: Settings, tmp_path: Path) -> None:
    made = scores(codes={1: "failed"})
    first, second = made.requests
    assert shipped(settings, tmp_path, made) == [
        (second, 3, None, None, None, "u2", "failed"),
        (first, None, 0.25, None, 0, "u1", None),
    ]
    assert rows(settings, "SELECT version FROM ledger.models WHERE id = %s", encoder("9").model) == [("9",)]


def test_those_of_several_classes_are_an_array(settings: Settings, tmp_path: Path) -> None:
    made = scores(predictions=[[0.1, 0.2, 0.7], None], decisions=[2, None], codes={1: "crashed"})
    (_, one_row) = shipped(settings, tmp_path, made)
    assert one_row[2:5] == (None, [0.1, 0.2, 0.7], 2)


def frame_of(made: ShadowScores) -> Frame:
    (frame,) = frames(encode_scores(encoder().model, made), 0)
    return frame


@pytest.mark.parametrize("count", [1, 2])
def test_an_erased_entity_leaves_a_frame_of_as_many_bytes_without_it(
    settings: Settings, tmp_path: Path, count: int
) -> None:
    frame = frame_of(made := scores(count))
    content = without(frame, [0])
    assert len(content) == len(encode_scores(encoder().model, made))
    spool, model = Spool(tmp_path, 2**24), encoder()
    spool.append(model, content)
    spool.close()
    assert b"u1" not in content
    ship(settings, tmp_path)
    ((request, item, *nothing, code),) = rows(
        settings, ALL.replace("ORDER", f"WHERE request = '{made.requests[0]}' ORDER")
    )
    assert (request, item, nothing) == (made.requests[0], None, [None] * 4)
    assert code in (None, "erased")


def test_a_ledger_without_the_table_gets_the_answers_and_the_scores_wait(settings: Settings, tmp_path: Path) -> None:
    spool, beside, model = Spool(tmp_path, 2**24), Spool(tmp_path, 2**24), encoder()
    spool.append(model, encode_scores(model.model, scores(codes={1: "failed"})))
    beside.append(model, one(model, new_request_id(), "older"))
    spool.close()
    beside.close()
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        create_tables(connection)
        connection.execute("ALTER TABLE ledger.shadow_scores RENAME TO hidden")
        shipper, state = Shipper(tmp_path, connection, State()), State()
        shipper = Shipper(tmp_path, connection, state)
        shipper.ship()
        assert (state.rows, state.quarantined, len(list(tmp_path.glob("*.frames")))) == (1, [], 1)
        connection.execute("ALTER TABLE ledger.hidden RENAME TO shadow_scores")
        assert shipper.ship() == 2
    assert list(tmp_path.glob("*.frames")) == []
