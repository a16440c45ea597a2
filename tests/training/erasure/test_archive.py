"""An erasure in the files to which old months of answers were moved."""

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from pyarrow import parquet
from pydantic import SecretStr

from asof.ledger.schema import create_tables
from asof.settings import Settings
from asof.use_cases import load
from monitoring.retention.keep import keep_ledger
from training.erasure.copies.databases import ledger
from training.erasure.copies.files import archive
from training.erasure.subject import subject_of
from training.erasure.work import NOT_COUNTED, Work

CHURN = load("churn")
NOW = datetime.now(UTC)
MODEL = """
INSERT INTO ledger.models (id, use_case, name, run_id, bento, fingerprint, features, views)
VALUES (%s, %s, 'a', 'r', 'b', 'f', '[]', '{}')"""
ANSWERS = """
INSERT INTO ledger.predictions (at, request, model, status, score, entity, floats, texts, moments)
SELECT '2024-01-15'::timestamptz + n * interval '1 second', gen_random_uuid(), 1 + n % 2, 200, 0.5, 'u' || n / 2,
    ARRAY[n, NULL], ARRAY['u' || n / 2], ARRAY[now(), NULL] FROM generate_series(2, 40) AS n"""

OUTCOME = """
INSERT INTO ledger.outcomes (use_case, event, request, outcome, observed_at, created_at, source)
VALUES ('churn', gen_random_uuid(), %s, 'true', '2024-02-01', '2024-02-01', 's')"""


@pytest.fixture
def work(settings: Settings, tmp_path: Path) -> Work:
    """A month with an answer of another use case for each user, and one of churn; u1 is in u10 and others."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ledger CASCADE")
        create_tables(connection)
        for number, name in ((1, "churn"), (2, "breast_cancer")):
            connection.execute(MODEL, [number, name])
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
        connection.execute(ANSWERS.encode())
    keep_ledger(settings.ledger_conninfo(), tmp_path, datetime(2024, 3, 1, tzinfo=UTC))
    return Work(settings, CHURN, subject_of(CHURN, "u1"), NOW, "d", apply=True)


def test_only_the_users_answers_become_stubs_and_the_new_digest_is_recorded(work: Work, tmp_path: Path) -> None:
    (file,) = tmp_path.glob("[!.]*.parquet")
    before = parquet.read_table(file).to_pylist()
    (dry,) = archive.erase(Work(work.settings, CHURN, work.subject, NOW, "d", apply=False))
    assert (dry.place, dry.count, parquet.read_table(file).to_pylist()) == (str(file), 1, before)
    (done,) = archive.erase(work)
    assert done.count == 1
    after = parquet.read_table(file).to_pylist()
    for row, was in zip(after, before, strict=True):
        gone = was["entity"] == "u1" and was["model"] == 1
        stub = dict.fromkeys(was) | {name: was[name] for name in archive.STAYS} | {"code": "erased"}
        assert row == (stub if gone else was)
    with psycopg.connect(work.settings.ledger_conninfo()) as connection:
        digests = connection.execute("SELECT file_sha256 FROM ledger.exports ORDER BY exported_at").fetchall()
    assert digests[1:] == [(hashlib.sha256(file.read_bytes()).hexdigest(),)]
    assert [each.count for each in archive.erase(work)] == [0]
    assert file.stat().st_mode & 0o077 == 0


def test_answers_after_the_moment_stay_and_a_file_elsewhere_is_left_to_the_user(work: Work, tmp_path: Path) -> None:
    early = Work(work.settings, CHURN, work.subject, datetime(2024, 1, 1, tzinfo=UTC), "d", apply=True)
    assert [each.count for each in archive.erase(early)] == [0]
    (file,) = tmp_path.glob("[!.]*.parquet")
    file.unlink()
    (left,) = archive.erase(work)
    assert (left.place, left.count, "not here" in left.left) == (str(file), NOT_COUNTED, True)


def test_a_file_that_an_interrupted_move_has_left_is_erased_and_a_half_of_one_is_told(
    work: Work, tmp_path: Path
) -> None:
    (file,) = tmp_path.glob("[!.]*.parquet")
    stray, half = (
        file.with_name("predictions_2024_01-0123456789ab.parquet"),
        file.with_name(".predictions_2024_02.parquet"),
    )
    stray.write_bytes(file.read_bytes())
    half.write_bytes(file.read_bytes()[:500])
    done = {Path(each.place).name: each for each in archive.erase(work)}
    assert {name: each.count for name, each in done.items()} == {file.name: 1, stray.name: 1, half.name: NOT_COUNTED}
    assert "half written" in done[half.name].left
    assert "u1" not in parquet.read_table(stray, filters=[("model", "=", 1)])["entity"].to_pylist()


@pytest.mark.parametrize("pending", [False, True], ids=["detached", "being detached"])
def test_answers_of_a_month_that_an_interrupted_move_has_detached_are_erased(work: Work, pending: bool) -> None:
    conninfo = work.settings.ledger_conninfo()
    with psycopg.connect(conninfo, autocommit=True) as connection, psycopg.connect(conninfo) as reader:
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
        connection.execute(ANSWERS.encode())
        ((request,),) = connection.execute("SELECT request FROM ledger.predictions WHERE entity = 'u1' AND model = 1")
        connection.execute(OUTCOME, [request])
        if pending:
            reader.execute("SELECT count(*) FROM ledger.predictions")
            connection.execute("SET statement_timeout = '300ms'")
        detach = "ALTER TABLE ledger.predictions DETACH PARTITION ledger.predictions_2024_01 CONCURRENTLY"
        with suppress(psycopg.errors.QueryCanceled):
            connection.execute(detach)
    found = {each.place: each.count for each in ledger.erase(replace(work, apply=False))}
    assert {place: count for place, count in found.items() if count} == {
        "ledger.outcomes": 1,
        "ledger.predictions_2024_01": 1,
    }
    assert sum(each.count for each in ledger.erase(work)) == 2
    assert sum(each.count for each in ledger.erase(work)) == 0
    with psycopg.connect(conninfo) as connection:
        query = "SELECT count(*) FILTER (WHERE code = 'erased'), count(*) FROM ledger.predictions_2024_01"
        assert connection.execute(query).fetchone() == (1, 39)


def test_a_role_that_may_not_change_a_detached_month_is_told_what_to_do(work: Work) -> None:
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE ledger.predictions_2024_03 (LIKE ledger.predictions)")
        connection.execute("DROP ROLE IF EXISTS asof_test_eraser; CREATE ROLE asof_test_eraser")
        connection.execute("GRANT USAGE ON SCHEMA ledger TO asof_test_eraser")
        connection.execute("GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ledger TO asof_test_eraser")
        connection.execute("REVOKE ALL ON ledger.predictions_2024_03 FROM asof_test_eraser")
    url = work.settings.database().update_query_dict({"options": "-c role=asof_test_eraser"})
    limited = work.settings.model_copy(update={"ledger_url": SecretStr(url.render_as_string(hide_password=False))})
    *_, left = ledger.erase(replace(work, settings=limited))
    assert (left.place, left.count) == ("ledger.predictions_2024_03", NOT_COUNTED)
    assert "run `flows ledger keep` again" in left.left
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("DROP OWNED BY asof_test_eraser; DROP ROLE asof_test_eraser")
