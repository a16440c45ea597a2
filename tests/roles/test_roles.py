"""PostgreSQL's roles: each can do its work through the real commands, and is denied everything else."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from asof.errors import ConfigurationError
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answer, ReadValues
from asof.ledger.model_record import record_of
from asof.ledger.outcomes.record import record
from asof.ledger.outcomes.report import ReportReader
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.encoder import Encoder
from asof.ledger.spool.writer import Spool
from asof.model_facts import Lineage
from asof.serving.features.store.feast_api import open_feast_reader
from asof.serving.features.store.opening import WIDE, open_reader
from asof.settings import Settings, export
from asof.use_case import Estimator
from asof.use_cases import load
from monitoring.alerts.handling import claimed, close_alert
from monitoring.alerts.save import save
from monitoring.audit.audit import audit
from monitoring.audit.reading.rows import Tolerance
from monitoring.audit.reading.sample import Span
from monitoring.audit.record import record_audit
from monitoring.exporter.reading import Exported, read
from monitoring.measuring.measure import Wanted, measure
from monitoring.records import figure
from monitoring.records.figure import Subject
from monitoring.records.runs import MonitorRun
from monitoring.retention.keep import keep_ledger
from roles.access import ERASURE, INGEST, LEDGER, LOGINS, MLFLOW, MONITORING, OWNER, PREFECT, SERVING, TRAINING
from roles.provision import make_databases, owner_conninfo, wrong_grants
from simulator import SimulationPlan, simulate
from tests.kits.ledger import monitored
from tests.kits.machine.roles import PASSWORDS, Town, own_server
from tests.kits.models.promotion import always
from tests.kits.models.training import regression
from tests.kits.service import ledger as ledger_kit
from tests.kits.service.serving import registered_contract
from tests.kits.store.stock import STOCK, plain
from training.audit.lineage.trace import trace_version
from training.data.extracts.deliveries import find_deliveries
from training.data.snapshots.snapshot import take_snapshot
from training.erasure.erase import erase
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.features.parity.ledger import record_parity
from training.features.parity.store_switch import compare_stores
from training.inspection.examination import examine
from training.inspection.gather import months_known
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.promotion.history_report import report_history
from training.release.promotion.promote import promote, rollback
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion
from training.scoring.score import score_users

CHURN = replace(
    load("churn"),
    estimators={
        "default": Estimator("churn_v2", regression, "a logistic regression"),
        "other": Estimator("churn_v2", regression, "another"),
    },
)
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
SNAPSHOTS = (*(table.name for table in CHURN.extract.tables), CHURN.extract.labels.name)
WIDE_TABLE, STOCK_TABLE = 'online."asof.subs_profile_fv"', "online.asof_subs_profile_fv"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with own_server(tmp_path_factory.mktemp("town") / "home") as town:
        made = make_databases(town.admin, close_others=True)
        assert made.passwords == LOGINS
        yield town


@pytest.fixture
def empty_ledger(town: Town) -> Settings:
    """The settings of the training role, with no answers of other tests."""
    with town.as_admin() as connection:
        connection.execute("SET lock_timeout = '30s'")
        connection.execute("SET session_replication_role = replica")  # without the triggers that refuse it
        connection.execute("TRUNCATE ledger.models, ledger.predictions, ledger.outcomes, ledger.complete_outcomes")
    return town.as_role(TRAINING)


@pytest.fixture(scope="module")
def ingested(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two months of simulated users, ingested by the ingest role into our online store."""
    settings, folder = town.as_role(INGEST), tmp_path_factory.mktemp("simulated") / "extracts"
    export(settings)
    plan = SimulationPlan(FEBRUARY.date(), users=800, months=2)
    simulate(plan, folder)
    for each in find_deliveries(folder, first=plan.as_of(0), backfill=True):
        take_snapshot(settings, CHURN.extract, each.folder, as_of=each.as_of, known_at=each.known_at)
    apply_features(settings)
    materialise(settings, as_of=FEBRUARY)
    return settings


@pytest.fixture(scope="module")
def trained(town: Town, ingested: Settings) -> tuple[ModelVersion, ModelVersion]:
    """Two versions by the training role, with MLflow under its own role."""
    settings = town.as_role(TRAINING)
    export(settings)
    training_set = build_training_set(settings, CHURN, newest_labelled(settings, CHURN))
    first, second = (
        register(settings, evaluate(settings, train(settings, CHURN, training_set, estimator=name)))
        for name in ("default", "other")
    )
    return first, second


def test_the_ingest_role_has_loaded_applied_materialised_and_compares(ingested: Settings) -> None:
    parity = record_parity(ingested, check_parity(ingested, CHURN, as_of=FEBRUARY))
    assert (parity.users > 700, parity.wrong) == (True, 0)


@pytest.fixture(scope="module")
def both_stores(ingested: Settings) -> dict[str, Settings]:
    """Also with Feast's own store, filled by the same role."""
    stock = ingested.model_copy(update={"online_store": STOCK})
    apply_features(stock)
    materialise(stock, as_of=FEBRUARY, whole=True)
    return {WIDE: ingested, STOCK: stock}


def test_the_ingest_role_also_fills_feasts_own_store(both_stores: dict[str, Settings]) -> None:
    compared = compare_stores(both_stores[WIDE], both_stores[STOCK], CHURN.extract)
    assert (compared.users > 700, compared.differences) == (True, 0)


@pytest.fixture(scope="module")
def scored(town: Town, trained: tuple[ModelVersion, ModelVersion]) -> tuple[Sequence[str], int, int]:
    """Before a test erases a user: what the champion's lineage lacks, how many it scored, and the rows of them."""
    settings, (first, second) = town.as_role(TRAINING), trained
    assert promote(settings, first, judge=always).promoted
    assert promote(settings, second, judge=always).promoted
    assert rollback(settings, CHURN, reason="complaints").version == first.version
    broken = trace_version(settings, CHURN, first.version).broken
    scored = score_users(settings, CHURN, as_of=FEBRUARY).tally.scored
    with town.connect(TRAINING) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM scores")
    return broken, scored, rows


def test_the_training_role_trains_judges_promotes_rolls_back_and_scores(
    town: Town, trained: tuple[ModelVersion, ModelVersion], scored: tuple[Sequence[str], int, int]
) -> None:
    settings, (broken, number, rows), second = town.as_role(TRAINING), scored, trained[1]
    assert examine(months_known(settings, CHURN.extract, FEBRUARY))
    judged = promote(settings, second, judge=judge_of(settings, CHURN, second), dry_run=True)
    result = {each.name: each.passed for each in judged.criteria}
    assert result["online store agrees with the offline store"]
    assert result["feature contract compatible"]
    assert report_history(settings, CHURN).intact
    assert record_parity(settings, check_parity(settings, CHURN, as_of=FEBRUARY)).wrong == 0
    assert (len(broken), rows) == (0, number)


@pytest.mark.usefixtures("scored")
def test_the_erasure_role_erases_a_user_from_every_database(town: Town, both_stores: dict[str, Settings]) -> None:
    settings, kept = town.as_role(ERASURE), "SELECT count(*) FROM public.users"
    with town.as_admin() as admin, town.connect(PREFECT, "prefect") as prefect:
        (user, rows) = admin.execute("SELECT min(user_id), count(*) FROM public.users").fetchone() or ("", 0)
        prefect.execute("CREATE TABLE log (message text)")
        prefect.execute("INSERT INTO log VALUES (%s), ('another')", [f"column user_id: {user!r} must be unique"])
        done = erase(settings, CHURN, user, reason="asked")
        assert done.remaining == {}
        assert {"public.users", "public.scored_users", WIDE_TABLE.replace('"', ""), STOCK_TABLE} <= done.copies.keys()
        assert done.copies["Prefect: log.message"] == 1
        assert [name for name in done.copies if name.endswith("training_set.parquet")]
        assert admin.execute(kept).fetchone() == (rows - done.copies["public.users"],)
        assert prefect.execute("SELECT count(*) FROM log WHERE message ~ %s", [user]).fetchone() == (0,)
        prefect.execute("DROP TABLE log")
    with town.connect(ERASURE) as connection, pytest.raises(errors.RaiseException, match="append-only"):
        connection.execute("DELETE FROM public.users")


def test_a_temporary_schema_of_another_role_is_not_dropped(town: Town, ingested: Settings) -> None:
    with town.connect(INGEST) as connection:
        connection.execute("CREATE SCHEMA known_at_abandoned")
    check_parity(town.as_role(TRAINING), CHURN, as_of=FEBRUARY)
    check_parity(ingested, CHURN, as_of=FEBRUARY)
    with town.connect(INGEST) as connection:
        assert connection.execute("SELECT to_regnamespace('known_at_abandoned')").fetchone() == (None,)


@pytest.fixture
def users(ingested: Settings) -> list[str]:
    """Those of now: another test erases one."""
    with psycopg.connect(ingested.conninfo()) as connection:
        found = connection.execute("SELECT DISTINCT user_id FROM users WHERE as_of = %s ORDER BY 1", [FEBRUARY])
        return [user for (user,) in found]


@pytest.mark.parametrize("store", [WIDE, STOCK])
def test_the_serving_role_reads_all_that_the_service_reads(
    town: Town, both_stores: dict[str, Settings], users: list[str], store: str
) -> None:
    settings = town.as_role(SERVING).model_copy(update={"online_store": store})
    contract = registered_contract(settings)

    async def found() -> list[Any]:
        ours, feasts = open_reader(settings, contract), open_feast_reader(settings, contract)
        try:
            rows = [await each.read(users[:50]) for each in (ours, feasts)]
            return [*rows, await ours.read_columns(users)]
        finally:
            await ours.close()
            await feasts.close()

    direct, through_feast, columns = asyncio.run(found())
    assert plain(direct) == plain(through_feast)
    assert all(any(value is not None for value in each.values) for each in direct)
    assert isinstance(columns, StoredColumns)


def test_the_ledgers_role_ships_answers_which_the_training_role_reads(town: Town, tmp_path: Path) -> None:
    spool, encoder = Spool(tmp_path, 2**20), ledger_kit.encoder()
    request = new_request_id()
    spool.append(encoder, ledger_kit.one(encoder, request))
    spool.close()
    assert ledger_kit.ship(town.as_role(LEDGER), tmp_path).rows == 1
    query = "SELECT entity, score, version FROM ledger.answers WHERE request = %s"
    assert ledger_kit.rows(town.as_role(TRAINING), query, request) == [("u1", 0.25, "1")]


def test_the_training_role_audits_answers_and_saves_the_run(
    town: Town, trained: tuple[ModelVersion, ModelVersion], empty_ledger: Settings, tmp_path: Path
) -> None:
    settings, version = empty_ledger.model_copy(update={"clock": FEBRUARY}), trained[0]
    lineage = Lineage(version.name, version.version, version.run_id, "roles:1")
    spool, encoder = Spool(tmp_path, 2**20), Encoder(record_of(CHURN, lineage, version.facts))
    absent = ReadValues({}, {"as_of": {}}, dict.fromkeys(version.facts.contract.names, Verdict.NOT_FOUND))
    answer = Answer("0000-NOBODY", 404, "entity-not-found")
    spool.append(encoder, encoder.one(new_request_id(), None, answer, absent))
    spool.close()
    ledger_kit.ship(town.as_role(LEDGER), tmp_path)
    now = datetime.now(UTC)
    span = Span(now - timedelta(days=1), now, 1.0)
    done = audit(settings, CHURN, span, tolerance=Tolerance(timedelta(hours=1)))
    assert (done.values, done.errors, done.notes) == (17, 0, ())
    record_audit(settings, done, now)


def test_the_ledgers_role_makes_partitions_that_the_owner_owns(town: Town) -> None:
    with town.connect(LEDGER) as connection:
        connection.execute("SELECT ledger.make_partitions('2024-03-15', '2024-03-15')")
        query = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'predictions_2024_03'"
        assert connection.execute(query).fetchone() == (OWNER,)
    assert wrong_grants(town.as_role(TRAINING)) == []


def test_the_serving_role_records_outcomes_of_answers_by_entity_and_by_request(town: Town, tmp_path: Path) -> None:
    spool, encoder = Spool(tmp_path, 2**20), ledger_kit.encoder()
    request, now = new_request_id(), datetime.now(UTC)
    spool.append(encoder, ledger_kit.one(encoder, request, "reported"))
    spool.close()
    ledger_kit.ship(town.as_role(LEDGER), tmp_path)
    told = {"outcome": True, "observed_at": now.isoformat()}
    items = [
        {"entity": "reported", "as_of": "2026-02-28T00:00:00Z", **told},
        {"request_id": request, **told},
    ]
    reports = [ReportReader(CHURN).read(item, now) for item in items]
    with town.connect(SERVING) as connection:
        connection.execute("SET default_transaction_read_only = off")
        assert [each.verdict for each in record(connection, CHURN, reports, "api")] == ["accepted", "unchanged"]


def test_the_role_of_monitoring_exports_the_figures_that_the_training_role_adds(town: Town) -> None:
    monitored.plant(town.as_role(TRAINING), CHURN.name, monitored.figures(2, 1))
    with town.connect(MONITORING) as connection:
        exported = read(connection, Exported())
    assert {each.use_case for each in exported.runs} == {CHURN.name}
    assert any(each.metric == "auc" for each in exported.figures)


def test_the_training_role_monitors_and_takes_care_of_alerts(
    town: Town, empty_ledger: Settings, tmp_path: Path
) -> None:
    spool, encoder, own = Spool(tmp_path, 2**20), ledger_kit.encoder(), empty_ledger
    spool.append(encoder, ledger_kit.one(encoder, new_request_id(), "watched"))
    spool.close()
    ledger_kit.ship(town.as_role(LEDGER), tmp_path)
    export(own)
    done = measure(own, CHURN, Wanted({}), progress=lambda _: None)
    assert {each.subject for each in done.figures} >= {Subject.VOLUME, Subject.MATURITY}
    times = {"started_at": done.known_at, "known_at": done.known_at, "first": None, "last": None}
    run = MonitorRun(UUID(new_request_id()), CHURN.name, "monitor", **times, answers=1, actor="a", code_version="c")
    alarm = replace(done.figures[0], subject=Subject.DRIFT, metric="psi", about="fee", verdict=figure.Verdict.ALARM)
    saved = save(own, CHURN, run, [*done.figures, alarm])
    (drift,) = [each.alert for each in saved.alerts if each.rule == "drift"]
    with claimed(own, CHURN, drift) as claim:
        assert claim.taken == "Nothing is retrained because of drift."
    assert close_alert(own, CHURN, drift, "known").rule == "drift"


def test_only_the_owner_moves_old_months(town: Town, tmp_path: Path) -> None:
    with town.as_admin() as connection:
        connection.execute("SELECT ledger.make_partitions('2024-06-01', '2024-06-01')")
    before = datetime(2024, 8, 1, tzinfo=UTC)
    for role in (TRAINING, LEDGER):
        with pytest.raises(ConfigurationError, match=f"{role} does not own the ledger .*ASOF_ADMIN_POSTGRES_URL"):
            keep_ledger(town.as_role(role).ledger_conninfo(), tmp_path, before)
    kept = keep_ledger(owner_conninfo(town.admin), tmp_path, before)
    assert "predictions_2024_06" in [each.partition for each in kept.months]
    assert wrong_grants(town.as_role(TRAINING)) == []


@pytest.mark.parametrize("table", ["models", "predictions", "predictions_2024_09", "outcomes", "exports"])
def test_not_even_the_superuser_rewrites_the_ledger_by_mistake(town: Town, table: str) -> None:
    with town.as_admin() as connection:
        connection.execute("SET lock_timeout = '30s'")  # a transaction that a test left open fails this one
        connection.execute("SELECT ledger.make_partitions('2024-09-01', '2024-09-01')")
        for statement in (f"DELETE FROM ledger.{table}", f"TRUNCATE ledger.{table}"):
            with pytest.raises(psycopg.errors.RaiseException, match=f"of table ledger.{table} is refused"):
                connection.execute(statement.encode())
        connection.execute("SET asof.erasing = 'on'")
        connection.execute(f"DELETE FROM ledger.{table} WHERE false".encode())
        with pytest.raises(psycopg.errors.RaiseException, match="TRUNCATE of table"):
            connection.execute(f"TRUNCATE ledger.{table}".encode())


DENIED, READ_ONLY = errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction
SERVING_MAY_NOT_READ = (
    *SNAPSHOTS,
    "loads",
    "materialisations",
    "whole_materialisations_begun",
    "applied_features",
    "promotions",
    "parity_checks",
    "scoring_runs",
    "scoring_ranges",
    "scored_users",
    "scores",
)
REFUSALS = [
    *((SERVING, f"SELECT * FROM public.{table}", f"permission denied for {kind} {table}")
      for table in SERVING_MAY_NOT_READ for kind in ["view" if table == "scores" else "table"]),
    *((role, statement.format(table), f"permission denied for table {name}")
      for role in (SERVING, TRAINING)
      for table, name in ((WIDE_TABLE, "asof.subs_profile_fv"), (STOCK_TABLE, "asof_subs_profile_fv"))
      for statement in ("INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET event_ts = now()", "DELETE FROM {}",
                        "TRUNCATE {}", "BEGIN; LOCK TABLE {} IN EXCLUSIVE MODE")),
    (SERVING, "DELETE FROM online.wide_layouts", "permission denied for table wide_layouts"),
    (SERVING, "UPDATE public.feature_views SET user_metadata = NULL", "permission denied for table feature_views"),
    (SERVING, "CREATE TABLE public.mine (x int)", "permission denied for schema public"),
    (SERVING, "CREATE TABLE online.mine (x int)", "permission denied for schema online"),
    (SERVING, "CREATE TEMP TABLE mine (x int)", 'permission denied to create temporary tables in database "asof"'),
    (SERVING, "CREATE SCHEMA mine", "permission denied for database asof"),
    *((INGEST, f"{change} public.{table}{rest}", f"permission denied for table {table}")
      for table in (*SNAPSHOTS, "loads") for change, rest in (("UPDATE", " SET as_of = now()"), ("DELETE FROM", ""))),
    *((INGEST, f"ALTER TABLE public.{table} DISABLE TRIGGER append_only", f"must be owner of table {table}")
      for table in SNAPSHOTS),
    (INGEST, "DROP TABLE public.users", "must be owner of table users"),
    (INGEST, "TRUNCATE public.users", "permission denied for table users"),
    (INGEST, "INSERT INTO public.promotions (model) VALUES ('x')", "permission denied for table promotions"),
    (INGEST, "SELECT * FROM public.promotions", "permission denied for table promotions"),
    (INGEST, "INSERT INTO public.scored_users (entity) VALUES ('x')", "permission denied for table scored_users"),
    (INGEST, "CREATE TABLE public.mine (x int)", "permission denied for schema public"),
    *((TRAINING, f"INSERT INTO public.{table} (as_of) VALUES (now())", f"permission denied for table {table}")
      for table in (*SNAPSHOTS, "loads", "materialisations")),
    (TRAINING, "UPDATE public.promotions SET reason = 'x'", "permission denied for table promotions"),
    (TRAINING, "DELETE FROM public.promotions", "permission denied for table promotions"),
    (TRAINING, "TRUNCATE public.promotions", "permission denied for table promotions"),
    (TRAINING, "ALTER TABLE public.promotions DISABLE TRIGGER append_only", "must be owner of table promotions"),
    (TRAINING, "DROP TABLE public.promotions", "must be owner of table promotions"),
    (TRAINING, "CREATE OR REPLACE FUNCTION public.asof_refuse_other_history() RETURNS trigger LANGUAGE plpgsql"
     " AS 'BEGIN RETURN NULL; END'", "permission denied for schema public"),
    (TRAINING, f"DROP TABLE {WIDE_TABLE}", "must be owner of table asof.subs_profile_fv"),
    (TRAINING, "CREATE TABLE online.mine (x int)", "permission denied for schema online"),
    (TRAINING, "DELETE FROM public.feature_views", "permission denied for table feature_views"),
    (TRAINING, "CREATE TABLE public.mine (x int)", "permission denied for schema public"),
    *((LEDGER, statement, f"permission denied for table {table}") for table, statement in (
        ("predictions", "SELECT * FROM ledger.predictions"),
        ("predictions", "UPDATE ledger.predictions SET score = 1"),
        ("predictions", "DELETE FROM ledger.predictions"),
        ("predictions", "TRUNCATE ledger.predictions"),
        ("models", "SELECT * FROM ledger.models"),
        ("models", "UPDATE ledger.models SET threshold = 1"),
        ("segments", "DELETE FROM ledger.segments"),
        ("outcomes", "SELECT * FROM ledger.outcomes"),
        ("outcomes", "INSERT INTO ledger.outcomes (entity) VALUES ('x')"),
    )),
    (LEDGER, "SELECT * FROM public.users", "permission denied for schema public"),
    (LEDGER, "CREATE TABLE ledger.mine (x int)", "permission denied for schema ledger"),
    (LEDGER, "DROP TABLE ledger.predictions", "must be owner of table predictions"),
    (LEDGER, f"SELECT * FROM {WIDE_TABLE}", "permission denied for schema online"),
    (SERVING, "SELECT score FROM ledger.predictions", "permission denied for table predictions"),
    (SERVING, "SELECT floats FROM ledger.predictions", "permission denied for table predictions"),
    (SERVING, "INSERT INTO ledger.predictions (entity) VALUES ('x')", "permission denied for table predictions"),
    (SERVING, "UPDATE ledger.outcomes SET entity = 'x'", "permission denied for table outcomes"),
    (SERVING, "SELECT ledger.make_partitions(now(), now())", "permission denied for function make_partitions"),
    (TRAINING, "INSERT INTO ledger.predictions (entity) VALUES ('x')", "permission denied for table predictions"),
    (TRAINING, "SELECT ledger.make_partitions(now(), now())", "permission denied for function make_partitions"),
    (INGEST, "SELECT * FROM ledger.predictions", "permission denied for schema ledger"),
    (INGEST, "CREATE TABLE months.mine (x int)", "permission denied for schema months"),
    (INGEST, "SELECT * FROM months.users_2024_01", "permission denied for table users_2024_01"),
    (TRAINING, "SELECT months.make_month('users', now())", "permission denied for function make_month"),
    *((MONITORING, f"{statement} public.{table}", f"permission denied for table {table}")
      for statement, table in (("DELETE FROM", "monitor_metrics"), ("DELETE FROM", "alert_events"),
                               ("TRUNCATE", "alerts"), ("SELECT * FROM", "users"), ("SELECT * FROM", "promotions"))),
    (MONITORING, "INSERT INTO public.alerts (rule) VALUES ('x')", "permission denied for table alerts"),
    (MONITORING, "SELECT * FROM ledger.predictions", "permission denied for schema ledger"),
    (MONITORING, f"SELECT * FROM {WIDE_TABLE}", "permission denied for schema online"),
    (MONITORING, "CREATE TABLE public.mine (x int)", "permission denied for schema public"),
    *((ERASURE, f"{statement} public.{table}{rest}", f"permission denied for table {table}")
      for statement, table, rest in (("UPDATE", "users", " SET as_of = now()"), ("TRUNCATE", "users", ""),
                                     ("DELETE FROM", "loads", ""), ("DELETE FROM", "promotions", ""),
                                     ("DELETE FROM", "erasures", ""),
                                     ("INSERT INTO", "scored_users", " DEFAULT VALUES"))),
    *((role, statement, words) for role in (INGEST, TRAINING, SERVING, LEDGER, MONITORING, ERASURE)
      for statement, words in (
        ("SELECT * FROM pg_authid", "permission denied for table pg_authid"),
        (f"SET ROLE {OWNER}", f'permission denied to set role "{OWNER}"'),
        ("CREATE ROLE mine", "permission denied to create role"),
        ("CREATE DATABASE mine", "permission denied to create database"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "COPY to or from an external program"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("role", "statement", "words"), REFUSALS)
def test_a_statement_beyond_a_roles_privileges_is_denied(
    town: Town, both_stores: dict[str, Settings], role: str, statement: str, words: str
) -> None:
    with town.connect(role) as connection:
        connection.execute("SET default_transaction_read_only = off")  # any role may, so it only protects from mistakes
        with pytest.raises(DENIED) as refusal:
            connection.execute(statement.encode())
    assert words in str(refusal.value)


FOREIGN = [
    *(
        (role, database)
        for role in (INGEST, TRAINING, SERVING, LEDGER, MONITORING)
        for database in ("mlflow", "prefect")
    ),
    (ERASURE, "mlflow"),
    *((MLFLOW, database) for database in ("asof", "prefect")),
    *((PREFECT, database) for database in ("asof", "mlflow")),
    *((role, database) for role in LOGINS for database in ("postgres", "template1")),
]


@pytest.mark.parametrize(("role", "database"), FOREIGN)
def test_a_role_cannot_connect_to_the_database_of_another(town: Town, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=f'permission denied for database "{database}"'):
        town.connect(role, database)


def test_the_serving_role_is_read_only_with_a_statement_timeout_by_default(town: Town, ingested: Settings) -> None:
    with town.connect(SERVING) as connection, pytest.raises(READ_ONLY):
        connection.execute(f"DELETE FROM {WIDE_TABLE}".encode())
    with town.connect(SERVING) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)


def test_the_owner_cannot_log_in(town: Town) -> None:
    with town.as_admin() as connection:
        connection.execute(f"ALTER ROLE {OWNER} PASSWORD 'known'".encode())
    url = town.as_role(INGEST).database().set(username=OWNER, password="known")
    with pytest.raises(psycopg.OperationalError, match="is not permitted to log in"):
        psycopg.connect(url.render_as_string(hide_password=False))


def test_no_role_has_server_attributes(town: Town) -> None:
    with town.as_admin() as connection:
        powers = connection.execute(
            "SELECT bool_or(rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)"
            " FROM pg_roles WHERE rolname = ANY(%s)",
            [[*LOGINS, OWNER]],
        ).fetchone()
    assert powers == (False,)


def test_a_new_role_is_denied_what_public_is_denied(town: Town, ingested: Settings) -> None:
    with town.as_admin() as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    for database in ("asof", "mlflow", "prefect"):
        url = town.as_role(INGEST).database(database).set(username="stranger", password="stranger")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url.render_as_string(hide_password=False))


def test_no_password_is_in_the_servers_log(town: Town, ingested: Settings) -> None:
    log = town.log.read_text()
    assert log.count("PASSWORD 'SCRAM-SHA-256$") >= len(LOGINS)
    assert not [role for role, password in PASSWORDS.items() if password in log]
