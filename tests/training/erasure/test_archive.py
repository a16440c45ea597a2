"""An erasure in the files to which old months of answers were moved."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from pyarrow import parquet

from asof.ledger.schema import create_tables
from asof.settings import Settings
from asof.use_cases import load
from monitoring.retention.keep import keep_ledger
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
