"""A database's URL is read as SQLAlchemy reads it, and written so that libpq and SQLAlchemy read it alike."""

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from asof.postgres_url import parse_url

PARTS = ("drivername", "username", "password", "host", "port", "database")
URLS = [
    "postgresql://ann:s3cret@db.example:6000/shop",
    "postgresql+psycopg2://ann@[::1]:5432/shop?sslmode=disable",
    "postgresql://u%40x:p%2Fa%20b+c%25@h/d%20b?options=-c%20a%3Db+-c+c%3Dd&sslmode=require",
    "postgresql://u:pa/ss?w:o#rd@h/db",
    "postgresql://u:@h/db",
    "postgresql:///db?host=/run/postgresql",
    "postgresql://h",
    "sqlite:////there/mlflow.db",
    "sqlite:///here.db",
    "postgresql://h/db?host=a&host=b",
]


@pytest.mark.parametrize("text", URLS)
def test_a_url_is_read_as_sqlalchemy_reads_it(text: str) -> None:
    ours, theirs = parse_url(text), make_url(text)
    assert ours is not None
    assert [getattr(ours, name) for name in PARTS] == [getattr(theirs, name) for name in PARTS]
    assert {name: list(map(str, [each] if isinstance(each, str) else each)) for name, each in ours.query.items()} == {
        name: list(each) for name, each in theirs.normalized_query.items()
    }
    assert make_url(ours.render_as_string(hide_password=False)) == theirs


@pytest.mark.parametrize("text", [each for each in URLS if each.startswith("postgresql://") and "host=a" not in each])
def test_libpq_reads_what_is_written(text: str) -> None:
    url = parse_url(text)
    assert url is not None
    found = conninfo_to_dict(url.render_as_string(hide_password=False))
    named = {"user": url.username, "password": url.password, "host": url.host, "port": url.port, "dbname": url.database}
    expected = {name: str(value) for name, value in named.items() if value} | dict(url.query)
    assert {name: str(value) for name, value in found.items()} == expected


@pytest.mark.parametrize("text", ["shop", "postgresql://u:p@h:port/db", "postgresql://u:p@ss@h/db", "http//h"])
def test_what_is_no_url_of_a_database_has_no_parts(text: str) -> None:
    assert parse_url(text) is None


def test_a_password_is_in_no_repr_and_in_no_shown_text() -> None:
    url = parse_url("postgresql://ann:s3cret@h/db?password=s3cret")
    assert url is not None
    assert "s3cret" not in repr(url)
    assert url.set(query={}).render_as_string() == "postgresql://ann:***@h/db"
