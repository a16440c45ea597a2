"""Settings: environment variables, values derived from them, and the environment of other processes."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from asof.errors import ConfigurationError
from asof.settings import PROJECT, Settings, environment_of_servers

URL = "postgresql://someone:p%40ss@db.example:6000/features"


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASOF_POSTGRES_URL", "MLFLOW_TRACKING_URI", "ASOF_CLOCK"):
        monkeypatch.delenv(name, raising=False)


def test_a_variable_sets_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASOF_POSTGRES_URL", URL)
    monkeypatch.setenv("ASOF_PORT", "3100")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    found = settings()
    assert (found.port, found.tracking_uri, found.database().host) == (3100, "http://mlflow.example", "db.example")


def test_the_folder_to_follow_in_is_the_same_for_workers_that_run_elsewhere() -> None:
    assert settings(follow_folder="kept").follow_folder == PROJECT / "kept"


def test_without_a_server_the_error_names_the_next_step() -> None:
    with pytest.raises(ConfigurationError, match=r"ASOF_POSTGRES_URL is not set.*make up"):
        settings().database()


def test_what_bentoml_keeps_lies_below_the_home_unless_another_place_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    one, other = (settings(home=tmp_path / name, postgres_url=URL) for name in ("one", "other"))
    assert (
        one.environment()["BENTOML_HOME"] == one.platform_folders()["BENTOML_HOME"] == str(tmp_path / "one" / "bentoml")
    )
    assert other.bentoml_home == tmp_path / "other" / "bentoml"
    assert settings(mlflow_tracking_uri="http://mlflow").platform_folders()["MLFLOW_TRACKING_URI"] == "http://mlflow"
    monkeypatch.setenv("BENTOML_HOME", "/elsewhere")
    assert one.environment()["BENTOML_HOME"] == "/elsewhere"


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://host-only"])
def test_a_url_that_is_not_postgresql_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must read postgresql://"):
        settings(postgres_url=url).database()


@pytest.mark.parametrize("url", ["postgresql://a:x@h:pass-word@db.example:6000/b", "pass-word"])
def test_an_address_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must read postgresql://") as raised:
        settings(postgres_url=url).database()
    assert "pass-word" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="must read http://") as raised:
        _ = settings(registry_url="http://mlflow:pass-word/x@mlflow.example:5000").registry
    assert "pass-word" not in str(raised.value)


def test_each_replica_has_the_settings_of_its_own_url() -> None:
    other = URL.replace("db.example", "replica.example")
    found = settings(postgres_url=URL, postgres_read_urls=f" {other}\n{URL} ", lookups_from="replicas")
    assert [each.database().host for each in found.replicas()] == ["replica.example", "db.example"]
    assert all(each.replicas() == () for each in (*found.replicas(), found.at_primary(), settings()))
    assert (found.looks_up_at_replicas, found.at_primary().looks_up_at_replicas) == (True, False)


@pytest.mark.parametrize(
    "urls", [f"{URL} replica:pass-word@host", f"{URL} postgresql://a:pass-word@h/d?nonsense=pass-word"]
)
def test_a_replica_that_cannot_be_read_is_not_quoted(urls: str) -> None:
    with pytest.raises(ConfigurationError, match="ASOF_POSTGRES_READ_URLS") as raised:
        settings(postgres_url=URL, postgres_read_urls=urls).replicas()
    assert "pass-word" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "given", "mode"),
    [
        (URL, None, "require"),
        ("postgresql://a@127.0.0.1/b", None, "disable"),
        ("postgresql://a@localhost/b", "verify-full", "verify-full"),
    ],
)
def test_only_loopback_goes_without_encryption(url: str, given: str | None, mode: str) -> None:
    assert settings(postgres_url=url, postgres_sslmode=given).sslmode == mode


def test_mlflow_uses_the_features_database_server_by_default() -> None:
    uri = settings(postgres_url=URL).tracking_uri
    assert uri.startswith("postgresql+psycopg2://someone:p%40ss@db.example:6000/mlflow?")


def test_a_clock_without_a_zone_is_utc_and_one_with_a_zone_is_turned_to_it() -> None:
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert settings(clock="2024-02-29T12:00:00").now() == noon
    turned = settings(clock=datetime(2024, 2, 29, 14, tzinfo=timezone(timedelta(hours=2)))).now()
    assert (turned, turned.tzinfo) == (noon, UTC)


def test_the_password_shows_in_no_repr_and_reaches_other_processes_whole() -> None:
    found = settings(postgres_url=URL)
    assert "p@ss" not in repr(found)
    assert "p%40ss" not in repr(found)
    environment = found.environment()
    assert yaml.safe_load(environment["ASOF_FEAST_PASSWORD"]) == "p@ss"
    registry = yaml.safe_load(environment["ASOF_FEAST_REGISTRY_URL"])
    assert registry.startswith("postgresql+psycopg://someone:p%40ss@db.example:6000/features?")


def test_a_password_with_a_space_reaches_libpq() -> None:
    parameters = conninfo_to_dict(settings(postgres_url="postgresql://someone:p%20+s@db.example/features").conninfo())
    assert parameters["password"] == "p +s"


def test_no_platform_sends_telemetry_unless_the_user_enables_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("BENTOML_DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    environment = settings(postgres_url=URL).environment()
    assert [environment[name] for name in names] == ["true", "true", "false", "1"]
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert settings(postgres_url=URL).environment()["MLFLOW_DISABLE_TELEMETRY"] == "false"


@pytest.mark.parametrize(
    "uri",
    [
        "http://mlflow.example",
        "sqlite:////there/mlflow.db",
        "postgresql://asof:x@127.0.0.1:port/mlflow",
        "postgresql+pg8000://asof:x@127.0.0.1/mlflow",
    ],
)
def test_an_address_of_mlflow_that_takes_no_session_stays_as_it_is(uri: str) -> None:
    assert settings(mlflow_tracking_uri=uri).tracking_uri == uri


def test_an_address_of_mlflow_by_socket_gets_the_session() -> None:
    given = "postgresql+psycopg2:///mlflow?host=/run/postgresql"
    url = make_url(settings(mlflow_tracking_uri=given).tracking_uri)
    assert (url.database, url.query["host"], url.query["client_encoding"]) == ("mlflow", "/run/postgresql", "UTF8")


@pytest.mark.parametrize(("name", "value"), [("port", "many"), ("max_in_flight", 0), ("lookup_timeout", -1)])
def test_a_value_that_cannot_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        settings(**{name: value})


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("ASOF_HOME", "")
    assert settings(postgres_url=URL).tracking_uri == settings(postgres_url=URL).sqlalchemy_url("psycopg2", "mlflow")
    assert settings().home == PROJECT / ".asof"


def test_other_processes_get_one_address_for_runs_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///registry.db")
    environment = settings(postgres_url=URL, mlflow_tracking_uri="http://mlflow.example").environment()
    assert environment["MLFLOW_TRACKING_URI"] == environment["MLFLOW_REGISTRY_URI"] == "http://mlflow.example"


def test_servers_of_queries_are_named_by_their_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASOF_SOURCE_URL", "postgresql://reader:p%40ss@db.example:6000/shop")
    monkeypatch.setenv("ASOF_SOURCE_URL_WAREHOUSE", "postgresql://reader@127.0.0.1/dwh?application_name=us")
    (tmp_path / ".env").write_text(
        "ASOF_SOURCE_URL_WAREHOUSE=postgresql://x/y\nASOF_SOURCE_URL_CRM=postgresql://crm/db"
    )
    found = Settings(_env_file=tmp_path / ".env", postgres_url=URL)
    default, warehouse, crm = (conninfo_to_dict(found.source_conninfo(name)) for name in ("source", "warehouse", "crm"))
    assert (default["host"], default["password"], default["sslmode"]) == ("db.example", "p@ss", "require")
    assert (warehouse["dbname"], warehouse["sslmode"], warehouse["application_name"]) == ("dwh", "disable", "us")
    assert crm["host"] == "crm"
    assert "search_path" not in default["options"]
    assert default["options"].endswith("extra_float_digits=3"), "exact numbers of PostgreSQL 10 and 11, too"
    assert "p%40ss" not in repr(found)


def test_a_server_of_queries_is_our_own_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASOF_SOURCE_URL", raising=False)
    own = settings(postgres_url=URL)
    assert own.source_conninfo("source") == own.conninfo()
    with pytest.raises(ConfigurationError, match="ASOF_SOURCE_URL_CRM is not set: it names the server 'crm'"):
        own.source_conninfo("crm")
    with pytest.raises(ConfigurationError, match="ASOF_SOURCE_URL must read postgresql://user"):
        settings(postgres_url=URL, source_url="mysql://geheim").source_conninfo("source")
    with pytest.raises(ConfigurationError, match="ASOF_SOURCE_URL has a parameter that libpq does not know"):
        settings(source_url="postgresql://a@b/c?sslmod=x").source_conninfo("source")


def test_no_server_that_we_start_sees_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASOF_SOURCE_URL", URL)
    monkeypatch.setenv("ASOF_SOURCE_URL_CRM", URL)
    assert not [name for name in environment_of_servers() if name.startswith("ASOF_SOURCE")]
