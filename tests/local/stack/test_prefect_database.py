"""The prepared database of Prefect: copied for a new stack alone, and complete."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asof.home import PREFECT_DATABASE
from asof.settings import Settings
from local.stack import prefect_database
from local.stack.prefect_database import make_template, provide_database


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("share") / "asof" / "prefect.db")


@pytest.fixture
def settings(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(prefect_database, "template", lambda: made)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    (tmp_path / "prefect").mkdir()
    return Settings(home=tmp_path)


def test_a_new_stack_has_the_tables_and_no_row_and_is_read_by_its_owner_alone(settings: Settings, made: Path) -> None:
    database = settings.prefect_home / PREFECT_DATABASE
    database.touch()  # as a home is prepared

    provide_database(settings)

    assert database.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    assert {"flow_run", "deployment", "work_pool"} <= rows.keys()
    assert {name for name, count in rows.items() if count} == {"alembic_version"}
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_database_that_is_in_use_stays(settings: Settings) -> None:
    database = settings.prefect_home / PREFECT_DATABASE
    database.write_bytes(b"something")

    provide_database(settings)

    assert database.read_bytes() == b"something"


def test_without_a_prepared_one_prefect_makes_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_database, "template", lambda: settings.home / "nothing")

    provide_database(settings)

    assert not list(settings.prefect_home.iterdir())
