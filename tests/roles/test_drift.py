"""`flows databases` corrects changes, adopts an existing installation, and rotates passwords."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from feast import FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64
from psycopg import errors
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.features.feature_store import close, feature_store, open_feature_store, quiet
from asof.settings import Settings
from asof.use_cases import load
from local.embedded_postgres.binaries import Binaries, system_binaries, wheel_binaries
from roles import provision
from roles.access import INGEST, LEDGER, MAKE_MONTH, MAKE_PARTITIONS, MLFLOW, OWNER, PREFECT, SERVING, TRAINING
from roles.provision import make_databases, wrong_grants
from tests.kits.data.extracts import unpartitioned
from tests.kits.machine.roles import FIELDS, PASSWORDS, Town, own_server
from tests.kits.machine.terminal import call_flows
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.materialisation.watermarks import materialised_as_of
from training.release.promotion.history import reading, writing

SERVERS = {each.major: each for each in (*wheel_binaries(), *system_binaries())}
EXTRACT = load("churn").extract
TABLE = 'online."asof.subs_profile_fv"'
DRIFT = [
    (f"GRANT INSERT, DELETE ON {TABLE} TO {SERVING}", f"{SERVING} has DELETE, INSERT on table {TABLE}"),
    (f"GRANT UPDATE (monthly_fee) ON {TABLE} TO {SERVING}", f"{SERVING} has UPDATE (monthly_fee) on table {TABLE}"),
    (f"GRANT SELECT ON {TABLE} TO {TRAINING} WITH GRANT OPTION",
     f"{TRAINING} has SELECT on table {TABLE}, with grant option"),
    (f"REVOKE SELECT ON {TABLE} FROM {SERVING}", f"{SERVING} lacks SELECT on table {TABLE}"),
    ("GRANT SELECT ON users TO PUBLIC", "PUBLIC has SELECT on table public.users"),
    (f"GRANT UPDATE ON promotions TO {TRAINING}", f"{TRAINING} has UPDATE on table public.promotions"),
    (f"GRANT USAGE ON SEQUENCE online.wide_layouts_versions TO {SERVING}",
     f"{SERVING} has USAGE on sequence online.wide_layouts_versions"),
    (f"GRANT CREATE ON SCHEMA public TO {TRAINING}", f"{TRAINING} has CREATE on schema public"),
    ("GRANT TEMPORARY ON DATABASE asof TO PUBLIC", "PUBLIC has TEMPORARY on database asof"),
    (f"GRANT CONNECT ON DATABASE mlflow TO {SERVING}", f"{SERVING} has CONNECT on database mlflow"),
    (f"REVOKE CONNECT ON DATABASE asof FROM {TRAINING} CASCADE; GRANT CONNECT ON DATABASE asof TO {TRAINING}"
     " WITH GRANT OPTION", f"{TRAINING} has CONNECT on database asof, with grant option"),
    (f"ALTER ROLE {SERVING} CREATEDB BYPASSRLS", f"Role {SERVING} is not NOCREATEDB NOBYPASSRLS"),
    (f"ALTER ROLE {OWNER} LOGIN", f"Role {OWNER} is not NOLOGIN"),
    (f"GRANT {OWNER} TO {INGEST}", f"Role {INGEST} is a member of {OWNER}"),
    (f"GRANT pg_read_all_data TO {SERVING}", f"Role {SERVING} is a member of pg_read_all_data"),
    (f"ALTER ROLE {SERVING} IN DATABASE asof RESET statement_timeout",
     f"Role {SERVING} does not begin with statement_timeout = 10s"),
    (f"ALTER TABLE payments_agg_90d OWNER TO {INGEST}", f"Table public.payments_agg_90d is not {OWNER}'s"),
    (f"ALTER FUNCTION asof_refuse_rewrite() OWNER TO {INGEST}",
     f"Function public.asof_refuse_rewrite() is not {OWNER}'s"),
    (f"ALTER TABLE online.wide_layouts OWNER TO {OWNER}", f"Table online.wide_layouts is not {INGEST}'s"),
    (f"ALTER DATABASE asof OWNER TO {INGEST}", f"Database asof is {INGEST}'s"),
    ("ALTER DATABASE asof SET timezone TO 'Europe/Berlin'", "Database asof is not set to UTC"),
    (f"ALTER DEFAULT PRIVILEGES FOR ROLE {INGEST} IN SCHEMA online REVOKE SELECT ON TABLES FROM {SERVING}",
     f"{SERVING} lacks SELECT on future tables in schema online"),
    (f"GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {SERVING}",
     f"{SERVING} has EXECUTE on routine pg_read_file(text)"),
    ("DROP TABLE parity_checks", "Table public.parity_checks is absent"),
    ("DROP VIEW ledger.answers", "Table ledger.answers is absent"),
    (f"GRANT SELECT ON ledger.predictions TO {LEDGER}", f"{LEDGER} has SELECT on table ledger.predictions"),
    (f"REVOKE SELECT (entity) ON ledger.predictions FROM {SERVING}",
     f"{SERVING} lacks SELECT (entity) on table ledger.predictions"),
    ("GRANT EXECUTE ON FUNCTION ledger.make_partitions TO PUBLIC",
     f"PUBLIC has EXECUTE on routine {MAKE_PARTITIONS}"),
    (f"REVOKE EXECUTE ON FUNCTION ledger.make_partitions FROM {LEDGER}",
     f"{LEDGER} lacks EXECUTE on routine {MAKE_PARTITIONS}"),
    (f"ALTER TABLE ledger.predictions OWNER TO {LEDGER}", f"Table ledger.predictions is not {OWNER}'s"),
    (f"SELECT ledger.make_partitions('2024-05-01', '2024-05-01'); ALTER TABLE ledger.predictions_2024_05"
     f" OWNER TO {LEDGER}", f"Table ledger.predictions_2024_05 is not {OWNER}'s"),
    (f"ALTER SCHEMA ledger OWNER TO {LEDGER}", f"Schema ledger is {LEDGER}'s"),
    ("GRANT EXECUTE ON FUNCTION months.make_month TO PUBLIC", f"PUBLIC has EXECUTE on routine {MAKE_MONTH}"),
    (f"SELECT months.make_month('users', '2024-05-01'); ALTER TABLE months.users_2024_05 OWNER TO {INGEST}",
     f"Table months.users_2024_05 is not {OWNER}'s"),
    ("DROP TABLE months.dropped", "Table months.dropped is absent"),
]  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The roles, and the tables of the online store, which the ingest role has created."""
    with own_server(tmp_path_factory.mktemp("town") / "home") as town:
        make_databases(town.admin)
        apply_features(town.as_role(INGEST))
        yield town


def _powerful(town: Town) -> Settings:
    """Settings of a process that connects as the superuser."""
    superuser = town.admin.model_copy(update={"postgres_url": town.admin.admin_postgres_url})
    return superuser.model_copy(update={"postgres_url": SecretStr(superuser.conninfo("asof"))})


@pytest.mark.parametrize(("change", "words"), DRIFT)
def test_manual_changes_are_reported_and_corrected(town: Town, change: str, words: str) -> None:
    asked = town.as_role(TRAINING)
    assert wrong_grants(asked) == []
    with town.as_admin() as connection:
        connection.execute(change.encode())
    assert words in wrong_grants(asked)
    assert words in make_databases(town.admin).corrected
    assert wrong_grants(asked) == []


def test_the_connections_of_all_services_are_limited(town: Town) -> None:
    limited = town.admin.model_copy(update={"serving_connections": 2})
    assert make_databases(limited).corrected == (f"Role {SERVING} has another limit than 2 connections",)
    assert make_databases(limited).corrected == make_databases(town.admin).corrected == ()
    with (
        town.connect(SERVING),
        town.connect(SERVING),
        pytest.raises(psycopg.OperationalError, match="too many connections for role"),
    ):
        town.connect(SERVING)
    with town.as_admin() as connection:
        connection.execute(f"ALTER ROLE {SERVING} CONNECTION LIMIT -1".encode())


def test_database_defaults_set_by_an_owner_do_not_affect_the_admin(town: Town) -> None:
    with town.connect(PREFECT, PREFECT) as connection:
        connection.execute("CREATE TABLE mine (); GRANT SELECT ON mine TO PUBLIC")
        for setting in ("default_transaction_read_only = on", f"role = {PREFECT}", "search_path = mine"):
            connection.execute(f"ALTER DATABASE {PREFECT} SET {setting}".encode())
    assert make_databases(town.admin).corrected == ("PUBLIC has SELECT on table public.mine",)
    with town.as_admin() as connection:
        connection.execute(f"ALTER DATABASE {PREFECT} RESET ALL".encode())
    make_databases(town.admin)


def test_a_held_lock_is_reported_as_a_lock_timeout(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = provision.SESSION | {"lock_timeout": "1s"}
    monkeypatch.setattr(provision, "SESSION", shorter)
    with town.as_admin("postgres") as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('asof databases', 0))")
        with pytest.raises(ConfigurationError, match="lock timeout"):
            make_databases(town.admin)


def test_a_grant_by_another_role_is_reported_with_how_to_revoke_it(town: Town) -> None:
    with town.as_admin() as connection:
        connection.execute(
            "CREATE ROLE dba; GRANT USAGE ON SCHEMA public TO dba; GRANT SELECT ON users TO dba WITH GRANT OPTION"
        )
        connection.execute(f"SET ROLE dba; GRANT SELECT ON public.users TO {SERVING}; RESET ROLE".encode())
        with pytest.raises(ConfigurationError, match="REVOKE it after SET ROLE"):
            make_databases(town.admin)
        connection.execute(f"SET ROLE dba; REVOKE SELECT ON public.users FROM {SERVING}; RESET ROLE".encode())
    assert make_databases(town.admin).corrected == ()


def test_object_names_chosen_by_a_role_are_not_executed_as_sql(town: Town) -> None:
    with town.connect(INGEST) as connection:
        connection.execute('CREATE SCHEMA "x GRANT SELECT ON TABLES TO PUBLIC; CREATE ROLE intruder; --"')
        connection.execute(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA "x GRANT SELECT ON TABLES TO PUBLIC; CREATE ROLE intruder; --"'
            f" GRANT SELECT ON TABLES TO {SERVING}".encode()
        )
        connection.execute(f"CREATE SCHEMA {OWNER}".encode())
        connection.execute(f"GRANT ALL ON SCHEMA {OWNER} TO {OWNER}".encode())
        connection.execute(f"CREATE TABLE {OWNER}.parity_checks ()".encode())
    assert any("intruder" in words for words in make_databases(town.admin).corrected)
    assert make_databases(town.admin).corrected == ()
    with town.as_admin() as connection:
        assert connection.execute("SELECT FROM pg_roles WHERE rolname = 'intruder'").fetchall() == []


def test_a_second_run_corrects_nothing(town: Town) -> None:
    assert make_databases(town.admin).corrected == ()


def test_other_databases_are_closed_only_on_request(town: Town) -> None:
    town.connect(SERVING, "postgres").close()
    assert "PUBLIC has CONNECT on database postgres" in make_databases(town.admin, close_others=True).corrected
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        town.connect(SERVING, "postgres")


def test_a_password_is_rotated_by_the_same_command(town: Town) -> None:
    changed = town.admin.model_copy(update={FIELDS[SERVING]: SecretStr("another")})
    make_databases(changed)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        town.connect(SERVING)
    url = town.as_role(SERVING).database().set(password="another")
    psycopg.connect(url.render_as_string(hide_password=False)).close()
    make_databases(town.admin)
    town.connect(SERVING).close()


def test_a_view_that_is_applied_later_can_be_served(town: Town) -> None:
    settings = town.as_role(INGEST)
    with feature_store(settings) as store, quiet():
        source = PostgreSQLSource(name="later", table="users", timestamp_field="as_of")
        user = store.list_entities()[0]
        store.apply([FeatureView(name="later", entities=[user], schema=[Field(name="x", dtype=Int64)], source=source)])
    for role in (SERVING, TRAINING):
        with town.connect(role) as connection:
            assert connection.execute('SELECT count(*) FROM online."asof.later"').fetchone() == (0,)
    assert wrong_grants(settings) == []


def test_a_missing_snapshot_table_is_created_by_the_command(town: Town) -> None:
    settings = town.as_role(INGEST)
    with town.as_admin() as connection:
        connection.execute("DROP TABLE support_agg_90d")
    with pytest.raises(ConfigurationError, match=r"support_agg_90d is not in database asof.*python -m flows databases"):
        prepare_tables(settings, EXTRACT)
    assert "Table public.support_agg_90d is absent" in make_databases(town.admin).corrected
    prepare_tables(settings, EXTRACT)


# Feast leaves a connection open if it cannot open the registry. It is collected here, and not in a later test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_missing_registry_table_is_created_by_the_command(town: Town) -> None:
    with town.as_admin() as connection:
        connection.execute("DROP TABLE saved_datasets")
    for role in (INGEST, SERVING):
        with pytest.raises(ConfigurationError, match=r"registry lacks a table .*python -m flows databases"):
            open_feature_store(town.as_role(role))
    gc.collect()
    assert "Table public.saved_datasets is absent" in make_databases(town.admin).corrected
    close(open_feature_store(town.as_role(SERVING)))


def test_a_user_without_the_privileges_is_an_error(town: Town) -> None:
    url = SecretStr(town.as_role(MLFLOW, "mlflow").conninfo())
    with pytest.raises(ConfigurationError, match="User mlflow lacks a privilege"):
        make_databases(town.admin.model_copy(update={"admin_postgres_url": url}))


def test_without_the_roles_nothing_is_reported(tmp_path: Path) -> None:
    with own_server(tmp_path / "home") as town:
        with town.as_admin("postgres") as connection:
            connection.execute("CREATE DATABASE asof")
        assert wrong_grants(_powerful(town)) == []


OWNERS = """
SELECT relname::text, pg_get_userbyid(relowner)::text FROM pg_class WHERE relname ~ '^users($|_[b2])'
    AND relkind IN ('r', 'p')
ORDER BY 1"""


def test_an_installation_with_one_powerful_role_is_adopted(tmp_path: Path) -> None:
    with own_server(tmp_path / "home") as town:
        with town.as_admin("postgres") as connection:
            connection.execute("CREATE DATABASE asof")
            connection.execute("CREATE DATABASE mlflow")
        with town.as_admin("mlflow") as connection:
            connection.execute("CREATE TABLE runs (x int)")
        powerful = _powerful(town)
        prepare_tables(powerful, EXTRACT)
        with town.as_admin() as connection:
            unpartitioned(connection, ["users"])
            connection.execute("INSERT INTO users VALUES ('ann', '2024-01-31', '2024-01-31')")
        apply_features(powerful)
        materialise(powerful)
        with writing(powerful):
            pass
        make_databases(town.admin)
        apply_features(town.as_role(INGEST))
        materialise(town.as_role(INGEST))
        with reading(town.as_role(TRAINING)) as connection:
            assert materialised_as_of(connection) is None
        with town.connect(MLFLOW, "mlflow") as connection:
            connection.execute("DROP TABLE runs")
        with town.connect(INGEST) as connection:
            assert connection.execute(OWNERS).fetchall() == [("users", OWNER), ("users_before_2024_02", OWNER)]
            connection.execute("SELECT months.make_month('users', '2024-02-29')")
            connection.execute("INSERT INTO users VALUES ('ann', '2024-02-29', '2024-02-29')")
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
        with town.connect(SERVING) as connection:
            connection.execute(f"SELECT FROM {TABLE}".encode())
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT FROM users")


@pytest.mark.parametrize("binaries", SERVERS.values(), ids=map(str, SERVERS))
def test_the_admin_need_not_be_a_superuser(tmp_path: Path, binaries: Binaries) -> None:
    with own_server(tmp_path / "home", binaries) as town:
        with town.as_admin("postgres") as connection:
            connection.execute("CREATE ROLE boss LOGIN CREATEDB CREATEROLE PASSWORD 'boss'")
        url = town.as_role(INGEST, "postgres").database().set(username="boss", password="boss")
        boss = town.admin.model_copy(
            update={"admin_postgres_url": SecretStr(url.render_as_string(hide_password=False))}
        )
        make_databases(boss)
        assert make_databases(boss).corrected == ()
        apply_features(town.as_role(INGEST))
        assert wrong_grants(town.as_role(SERVING)) == []
        with pytest.raises(ConfigurationError, match="superuser can correct: PUBLIC has CONNECT on database postgres"):
            make_databases(boss, close_others=True)


@pytest.mark.parametrize("given", [True, False])
def test_the_command_reports_a_missing_password_and_prints_none(town: Town, given: bool) -> None:
    variables = {f"ASOF_{field.upper()}": PASSWORDS[role] for role, field in FIELDS.items()}
    assert town.admin.admin_postgres_url
    variables["ASOF_ADMIN_POSTGRES_URL"] = town.admin.admin_postgres_url.get_secret_value()
    if not given:
        variables["ASOF_SERVING_PASSWORD"] = ""
    done = call_flows({**os.environ, **variables}, "databases")
    assert (done.returncode, "Not set: ASOF_SERVING_PASSWORD." in done.stderr) == ((0, False) if given else (1, True))
    assert not [secret for secret in PASSWORDS.values() if secret in done.stdout + done.stderr]
