"""Passwords and names with characters that are special in YAML, URLs, shells or libpq."""

import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from feast.infra.utils.postgres.connection_utils import _get_conn
from feast.repo_config import load_repo_config
from psycopg import sql
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.features.feature_store import REPOSITORY, feature_store, open_feature_store
from asof.serving.features.store.opening import open_reader
from asof.settings import Settings
from local.embedded_postgres import postgres
from online_store.pool import Pool
from online_store.store import address_of
from tests.kits.data.extracts import extract_files, write
from tests.kits.machine.roles import own_server
from tests.kits.machine.secret import files, leaks
from tests.kits.machine.terminal import call_flows
from tests.kits.service import serving as serving_kit
from training.features.materialisation.feature_registry import apply_features
from training.tracking.client import open_tracking

SECRETS = [
    'quo"te: "x',
    "it's",
    "back\\slash\\n\\",
    "$dollar$HOME",
    "${HOME}${ASOF_FEAST_USER}$$",
    "hash # tag",
    "colon: space",
    "a@b:c/d?e=f&g",
    "per%cent%25%",
    " spaces at both ends ",
    "*alias &anchor !tag",
    "- dash",
    "ünï-çødé-密码-😀",
    "new\nline\ttab\r",
    "plus+plus",
    "{brace}[bracket],",
    "null",
    "0123",
    "x" * 100,
]
WORST = "\"'\\$HOME ${USER} # : @/%25%+?&*!-\t😀{}[],\n"
ENCODED = "a password that is in no output"


def _urls(name: str, password: str, port: int, database: str) -> str:
    return sqlalchemy.URL.create("postgresql", name, password, "127.0.0.1", port, database).render_as_string(
        hide_password=False
    )


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """A superuser of a server of our own, on which MLflow has its tables."""
    with own_server(tmp_path_factory.mktemp("own") / "home") as town, town.as_admin("postgres") as connection:
        yield connection


def _settings(admin: psycopg.Connection, home: Path, name: str, password: str) -> Settings:
    """A new role, and a database of that name and owner."""
    role, database = sql.Identifier(name), sql.Identifier(name)
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(role))
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
    url = SecretStr(_urls(name, password, admin.info.port, name))
    return Settings(_env_file=None, home=home, mlflow_tracking_uri=None).model_copy(update={"postgres_url": url})


def _name(secret: str) -> str:
    return secret[:40].strip() or "none"


@pytest.mark.parametrize("secret", SECRETS)
def test_every_connection_to_postgresql_accepts_it(
    admin: psycopg.Connection, tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(admin, tmp_path, _name(secret), secret)
    with psycopg.connect(settings.conninfo()) as connection:
        assert connection.info.dbname == connection.info.user == _name(secret)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    again = Settings(_env_file=None, mlflow_tracking_uri=None)
    assert again.database() == settings.database()
    for uri in (settings.feast()["ASOF_FEAST_REGISTRY_URL"], settings.sqlalchemy_url("psycopg2")):
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT current_user::text")).scalar() == _name(secret)
    of_feast = load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")  # as its commands do
    with feature_store(settings) as store:
        assert of_feast.online_store == store.config.online_store
        assert of_feast.offline_store == store.config.offline_store
        assert of_feast.registry.path == store.config.registry.path
        with _get_conn(store.config.offline_store) as connection:
            assert connection.info.user == _name(secret)
        pool = Pool(address_of(store.config))
        with pool.connection() as connection:
            assert connection.info.password == secret
        pool.drop()


@pytest.fixture(scope="module")
def worst(admin: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Name and password of the worst kind, with features and MLflow's tables in place."""
    settings = _settings(admin, tmp_path_factory.mktemp("worst") / "home", WORST, WORST + ENCODED)
    settings = postgres.ensure(settings)
    apply_features(settings)
    open_tracking(settings)
    return settings


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASOF_", "MLFLOW_", "PREFECT_"))}
    return kept | settings.environment()


def _run(settings: Settings, words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=folder, env=_environment(settings), capture_output=True, text=True, check=False)


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_commands_accept_it_and_show_it_nowhere(worst: Settings, tmp_path: Path) -> None:
    write(tmp_path / "data" / "month_000", extract_files(300))
    environment = _environment(worst)
    exported = f"eval {shlex.quote(_exports(worst))}; {_tool('feast')} entities list"
    ingest = ("ingest", str(tmp_path / "data"), "--as-of", "2024-01-31", "--backfill")
    runs = {
        "ingest": call_flows(environment, *ingest),
        "feast after `make env`": _run(worst, ["sh", "-c", exported], REPOSITORY),
        "mlflow": _run(worst, [_tool("mlflow"), "experiments", "search"], tmp_path),
        "doctor": call_flows(environment, "doctor"),
    }
    ended = {name: done.returncode for name, done in runs.items() if name != "doctor"}
    assert set(ended.values()) == {0}, {name: done.stderr[-2000:] for name, done in runs.items()}
    output = {name: done.stdout + done.stderr for name, done in runs.items()}
    assert leaks({"the password": WORST + ENCODED, "its end": ENCODED}, output | files(worst.home)) == []


def _exports(settings: Settings) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.environment().items())


def test_the_service_reads_with_it(worst: Settings) -> None:
    reader = open_reader(worst, serving_kit.registered_contract(worst))
    assert type(reader).__name__ == "WideReader"


@pytest.mark.parametrize(
    "change",
    [
        {"online_store": "sqlite"},
        {"online_store": "redis"},
        {"postgres_url": SecretStr(f"postgresql://asof:{ENCODED}@127.0.0.1:x/asof")},
        {"postgres_url": SecretStr(f"postgresql://asof:{ENCODED}%00@127.0.0.1:1/asof")},
        {"postgres_url": SecretStr(f"postgresql://asof:{ENCODED}@127.0.0.1:1/asof?no_such=1")},
    ],
    ids=str,
)
def test_an_invalid_configuration_is_reported_without_it(worst: Settings, change: Mapping[str, Any]) -> None:
    url = SecretStr(_urls("asof", ENCODED, 1, "asof"))
    settings = worst.model_copy(update={"postgres_url": url, **change})
    with pytest.raises(ConfigurationError) as raised:
        _open(settings)
    assert ENCODED not in "".join(traceback.format_exception(raised.value))


def _open(settings: Settings) -> str:
    addresses = settings.conninfo() + settings.tracking_uri
    open_feature_store(settings)
    return addresses
