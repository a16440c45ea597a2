"""Our sessions override settings of a server, database, role or environment that would change values."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy
from feast.infra.utils.postgres.connection_utils import _get_conn
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.features.feature_store import feature_store
from asof.settings import Settings
from asof.use_cases import load
from doctor.platforms.database import check_sessions
from local.embedded_postgres import postgres
from local.embedded_postgres.databases import session_trouble
from online_store.pool import Address, Pool
from online_store.reading.prepared_queries import PreparedQueries
from online_store.session import SESSION, VARIABLES
from online_store.store import address_of
from tests.kits.data.extracts import extract_files, fetch, swap, write
from tests.kits.machine.roles import own_server
from tests.kits.models.scoring import kept, online
from tests.kits.service import serving as serving_kit
from tests.kits.store.readers import STOCK, WIDE, store_of
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.scoring.score import score_users
from training.tracking.client import tracked_run

CHURN = load("churn")
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
ROLE, PASSWORD, DATABASE = "wrongly set", "p w", "wrongly set"
USER, OTHER, HOURS = "José-1", "0001-ABCDE", 0.1 + 0.2
WRONG = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "TimeZone": "America/New_York",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "lc_numeric": "POSIX",
    "lc_time": "POSIX",
    "default_transaction_isolation": "serializable",
    "search_path": "elsewhere",
}
ENVIRONMENT = {
    "PGCLIENTENCODING": WRONG["client_encoding"],
    "PGDATESTYLE": WRONG["DateStyle"],
    "PGTZ": WRONG["TimeZone"],
    "PGOPTIONS": " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in WRONG.items()),
}
PLACES = {
    "server": "ALTER SYSTEM",
    "database": f'ALTER DATABASE "{DATABASE}"',
    "role": f'ALTER ROLE "{ROLE}"',
    "role in database": f'ALTER ROLE "{ROLE}" IN DATABASE "{DATABASE}"',
}
Shown = Mapping[str, str]


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a server of its own."""
    with own_server(tmp_path_factory.mktemp("own") / "home") as town, town.as_admin("postgres") as connection:
        connection.execute(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'".encode())
        for name in (DATABASE, "mlflow"):
            connection.execute(f'CREATE DATABASE "{name}" OWNER "{ROLE}"'.encode())
        yield connection


@pytest.fixture(scope="module")
def settings(admin: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of that role in that database."""
    return _in(DATABASE, admin, tmp_path_factory.mktemp("home"))


def _in(database: str, admin: psycopg.Connection, home: Any) -> Settings:
    url = sqlalchemy.URL.create("postgresql", ROLE, PASSWORD, "127.0.0.1", admin.info.port, database)
    secret = SecretStr(url.render_as_string(hide_password=False))
    return Settings(_env_file=None, home=home, mlflow_tracking_uri=None).model_copy(update={"postgres_url": secret})


@pytest.fixture(params=[*PLACES, "environment"])
def place(request: pytest.FixtureRequest, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Sets each setting wrongly in one place."""
    with pytest.MonkeyPatch.context() as patch:  # restores the variables
        if request.param == "environment":
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            yield request.param
            return
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        _set_wrongly(admin, PLACES[request.param])
        yield request.param
        _reset(admin, PLACES[request.param])


def _set_wrongly(admin: psycopg.Connection, place: str) -> None:
    for name, value in WRONG.items():
        admin.execute(sql.SQL("{} SET {} = {}").format(sql.SQL(place), sql.SQL(name), value))  # type: ignore[arg-type]
    _reload(admin)


def _reset(admin: psycopg.Connection, place: str) -> None:
    admin.execute(f"{place} RESET ALL".encode())
    _reload(admin)


def _reload(admin: psycopg.Connection) -> None:
    """Waits until the server has reloaded its configuration."""
    before = admin.execute("SELECT pg_conf_load_time()").fetchone()
    admin.execute("SELECT pg_reload_conf()")
    while admin.execute("SELECT pg_conf_load_time()").fetchone() == before:
        pass


def _shown(connection: Any) -> Shown:
    """Every setting of the session, as text."""
    names = [*SESSION, "search_path"]
    cursor = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
    return dict(cursor.fetchall())


def _psycopg(settings: Settings) -> Shown:
    with psycopg.connect(settings.conninfo()) as connection:
        return _shown(connection)


def _through_sqlalchemy(uri: str) -> Shown:
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("SELECT name, setting FROM pg_settings"))
        return {name: setting for name, setting in found if name in SESSION}


def _of_store(settings: Settings, kind: str, section: str) -> Shown:
    with store_of(kind), feature_store(settings) as store, _get_conn(getattr(store.config, section)) as connection:
        return _shown(connection)


def _pooled(settings: Settings) -> Shown:
    with store_of(WIDE), feature_store(settings) as store:
        pool = Pool(address_of(store.config))
        with pool.connection() as connection:
            query = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
            found = dict(connection.execute(query, [[*SESSION]]).fetchall())
        pool.drop()
        return found


async def _prepared(settings: Settings) -> Shown:
    queries = await PreparedQueries.connect(make_conninfo(settings.conninfo(), options=""))
    async with queries.connection as connection:
        cursor = await connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [[*SESSION]])
        return dict(await cursor.fetchall())


def _read(settings: Settings) -> Shown:
    import asyncio

    return asyncio.run(_prepared(settings))


CONNECTIONS: Mapping[str, Callable[[Settings], Shown]] = {
    "psycopg": _psycopg,
    "Feast's registry": lambda settings: _through_sqlalchemy(settings.feast()["ASOF_FEAST_REGISTRY_URL"]),
    "MLflow": lambda settings: _through_sqlalchemy(settings.tracking_uri),
    "Feast's offline store": lambda settings: _of_store(settings, WIDE, "offline_store"),
    "our online store": _pooled,
    "our readers": _read,
}
WANTED = {name: value.replace(" ", "") for name, value in SESSION.items()}


def _wrong(shown: Shown) -> dict[str, str]:
    return {name: shown[name] for name, value in WANTED.items() if shown[name].replace(" ", "") != value}


def test_every_connection_has_our_session_settings_wherever_others_are_set(
    settings: Settings, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(
        make_conninfo(dbname=DATABASE, user=ROLE, password=PASSWORD, host="127.0.0.1", port=settings.database().port)
    ) as bare:
        assert _wrong(_shown(bare)).keys() >= {"DateStyle", "extra_float_digits"}
    for name, shown in CONNECTIONS.items():
        if place == "environment":
            for variable, value in ENVIRONMENT.items():
                monkeypatch.setenv(variable, value)
        found = shown(settings)
        assert (name, _wrong(found)) == (name, {})
        assert (name, found.get("search_path", "public").split(",")[0]) == (name, "public")


def test_feasts_own_online_store_has_the_settings_that_it_relies_on(settings: Settings, place: str) -> None:
    found = _of_store(settings, STOCK, "online_store")
    assert {name for name in _wrong(found) if name in ("client_encoding", "DateStyle", "TimeZone")} == set()
    assert found["search_path"] == "online,public"


@pytest.mark.parametrize("kind", [STOCK, WIDE])
def test_values_pass_every_stage_unchanged(
    settings: Settings, admin: psycopg.Connection, tmp_path: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With wrong settings for the role and in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    _set_wrongly(admin, PLACES["role"])
    try:
        own = settings.model_copy(update={"online_store": kind})
        if kind == STOCK:  # whose session we cannot set
            with pytest.raises(ConfigurationError, match="SET standard_conforming_strings = on"):
                postgres.ensure(own)
            admin.execute(f"{PLACES['role']} SET standard_conforming_strings = on".encode())
        postgres.ensure(own)
        files = dict(extract_files(400))
        for name, content in files.items():
            files[name] = swap("0000-ABCDE", USER)(content)
        files["usage_agg_30d"] = swap("0.125,", f"{HOURS},", 1)(files["usage_agg_30d"])
        folder = write(tmp_path / "month_000", files)
        take_snapshot(own, CHURN.extract, folder, as_of=JANUARY, known_at=JANUARY)
        query = "SELECT watch_hours_30d, as_of FROM public.usage_agg_30d WHERE user_id = 'José-1'"
        assert fetch(own, query) == [(HOURS, JANUARY)]

        apply_features(own)
        materialise(own, as_of=JANUARY)
        parity = check_parity(own, CHURN, as_of=JANUARY)
        assert (parity.users, parity.differences) == (400, 0), parity.verdicts

        rows = build_training_set(own, CHURN, JANUARY).frame
        assert rows.loc[rows["user_id"] == USER, "watch_hours_30d"].tolist() == [HOURS]

        contract = serving_kit.registered_contract(own)
        version = serving_kit.register_small_model(own, contract)[0]
        answer = online(own, version, [OTHER], JANUARY)[OTHER]
        score_users(own, CHURN, version=version.version, as_of=JANUARY)
        (scored,) = [row for row in kept(own) if row["entity"] == OTHER and row["version"] == version.version]
        assert answer.code is None, answer
        assert scored["probability"] == answer.probability
        assert set(answer.moments.values()) == {JANUARY}

        with tracked_run(own, "José", "run") as (client, run):
            client.log_param(run, "who", USER)
            client.log_metric(run, "hours", HOURS)
            found = client.get_run(run).data
        assert (found.params["who"], found.metrics["hours"]) == (USER, HOURS)
    finally:
        _reset(admin, PLACES["role"])


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
def test_a_database_in_another_encoding_is_an_error_before_anything_is_loaded(
    admin: psycopg.Connection, tmp_path: Any, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    admin.execute(f"CREATE DATABASE {name} OWNER \"{ROLE}\" TEMPLATE template0 ENCODING '{encoding}'".encode())
    own = _in(name, admin, tmp_path / "home")
    with pytest.raises(ConfigurationError, match=f"Database {name} is encoded in {encoding}") as raised:
        postgres.ensure(own)
    assert f"CREATE DATABASE {name}_utf8 TEMPLATE template0 ENCODING 'UTF8'" in str(raised.value)
    (finding,) = check_sessions(own, None)
    assert (finding.name, encoding in finding.found) == (f"session:{name}", True)


def test_another_encoding_of_mlflows_database_is_an_error(admin: psycopg.Connection, settings: Settings) -> None:
    admin.execute("DROP DATABASE mlflow WITH (FORCE)")
    admin.execute(f"CREATE DATABASE mlflow OWNER \"{ROLE}\" TEMPLATE template0 ENCODING 'LATIN1'".encode())
    with pytest.raises(ConfigurationError, match="Database mlflow is encoded in LATIN1"):
        postgres.ensure(settings)


def test_a_pooler_that_drops_our_settings_is_an_error(settings: Settings) -> None:
    dropped = make_conninfo(settings.conninfo(), options="-c extra_float_digits=0 -c array_nulls=off")
    with psycopg.connect(dropped) as connection:
        trouble = session_trouble(connection)
    assert trouble is not None
    assert trouble[0].endswith("extra_float_digits, array_nulls")


@pytest.mark.parametrize("options", ["-c statement_timeout=7s", "-cstatement_timeout=7s -c TimeZone=Asia/Kolkata"])
def test_options_of_the_address_are_kept(settings: Settings, options: str) -> None:
    url = settings.database().update_query_dict({"options": options})
    own = settings.model_copy(update={"postgres_url": SecretStr(url.render_as_string(hide_password=False))})
    for uri in (own.tracking_uri, own.feast()["ASOF_FEAST_REGISTRY_URL"]):
        assert _wrong(_through_sqlalchemy(uri)) == {}
    with psycopg.connect(own.conninfo()) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
        assert _wrong(_shown(connection)) == {}


def test_mlflows_address_gets_the_session_once_and_keeps_its_schema(settings: Settings) -> None:
    url = settings.database().set(drivername="postgresql+psycopg2").update_query_dict({"options": "-csearch_path=x"})
    uri = url.render_as_string(hide_password=False)
    once = settings.model_copy(update={"mlflow_tracking_uri": uri}).tracking_uri
    twice = settings.model_copy(update={"mlflow_tracking_uri": once}).tracking_uri
    assert twice == once
    assert _wrong(_through_sqlalchemy(once)) == {}
    assert sqlalchemy.make_url(once).query["options"].startswith("-csearch_path=x -c client_encoding")


def test_the_repr_of_a_pools_address_has_no_secret() -> None:
    assert "hush" not in repr(Address((("password", "hush"),), 1))
