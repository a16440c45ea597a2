"""The doctor on real parts: a healthy installation has no findings; a fault is found, and its fix removes it."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from asof.settings import Settings
from asof.trust.signing_keys import key_id, public_text, signing_key
from doctor.data.production import restore_command
from doctor.finding import Finding, Severity
from doctor.platforms.mlflow_server import check_server
from local.embedded_postgres import postgres
from local.stack import background
from local.stack.background import Service
from tests.kits.data.parity import database_copy
from tests.kits.machine.free_port import free_port
from tests.kits.machine.terminal import call_flows, start_flows
from tests.kits.models.promotion import always
from tests.kits.service import serving as kit
from tests.kits.service.doctor import CHURN, World, healthy_world, load_month
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.features.parity.ledger import record_parity
from training.release.promotion.history import read_history, reading
from training.release.promotion.promote import promote, rollback
from training.tracking.client import open_tracking


@pytest.fixture(scope="module")
def whole(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    return healthy_world(settings, tmp_path_factory.mktemp("extracts"), tmp_path_factory.mktemp("bentos"))


@pytest.fixture
def world(whole: World) -> Iterator[World]:
    """The same in a database that a test has for itself; MLflow's is shared."""
    with database_copy(whole.settings) as settings:
        yield replace(whole, context=replace(whole.context, settings=settings))


def run_sql(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode())


def statement_of(finding: Finding) -> str:
    """The statement in the text of a fix."""
    return finding.fix.partition(": ")[2] if ": DROP" in finding.fix else finding.fix.partition("; then")[0]


def test_a_healthy_installation_has_no_findings(world: World) -> None:
    assert world.findings() == {}


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ("ALTER DATABASE {} SET enable_nestloop TO off", "planner"),
        ("CREATE TABLE public.feast_entity_df_1 (n int)", "leaked-tables"),
        ("ALTER TABLE public.labels DISABLE TRIGGER append_only", "append-only"),
    ],
)
def test_a_fault_of_a_database_is_fixed_by_the_reported_statement(world: World, broken: str, name: str) -> None:
    database = str(world.settings.database().database)
    run_sql(world.settings, broken.format(database))
    found = world.finding(name.format(database))
    run_sql(world.settings, statement_of(found))
    assert world.findings() == {}


def test_an_unlocked_schema_of_a_killed_training_is_a_note(world: World) -> None:
    from doctor.platforms.leftovers import check_leftovers

    run_sql(world.settings, "CREATE SCHEMA known_at_1")
    assert [each.name for each in check_leftovers(world.context)] == ["abandoned-schemas"]
    with psycopg.connect(world.settings.conninfo(), autocommit=True) as owner:
        owner.execute("SELECT pg_advisory_lock(hashtextextended('known_at_1', 0))")
        assert list(check_leftovers(world.context)) == []


def test_a_password_that_is_refused_is_reported_and_not_shown(world: World) -> None:
    url = world.settings.database().set(password="hunter2").render_as_string(hide_password=False)
    found = world.findings(settings=world.settings.model_copy(update={"postgres_url": SecretStr(url)}))
    assert found["postgres"].fix == "Correct user and password in ASOF_POSTGRES_URL."
    assert "hunter2" not in repr(found)


def test_unsupported_encryption_is_reported_with_the_setting(world: World) -> None:
    demanding = world.settings.model_copy(update={"postgres_sslmode": "require"})
    assert "ASOF_POSTGRES_SSLMODE=disable" in world.findings(settings=demanding)["postgres"].fix


def test_a_stopped_postgresql_is_a_note_and_is_not_started(tmp_path: Path, world: World) -> None:
    home = tmp_path / "home"
    stopped = Settings(home=home).model_copy(update={"postgres_url": None, "mlflow_tracking_uri": None})
    assert world.findings(settings=stopped, embedded=True) == {}
    assert not postgres.status(stopped).running
    assert not home.exists()


# --- the store ---------------------------------------------------------------------------------------------------


def test_a_month_that_is_loaded_and_not_online_is_reported_until_it_is(world: World) -> None:
    load_month(world.settings, world.left)
    assert world.finding("behind").fix.startswith("python -m flows ingest")
    materialise(world.settings)  # as the last step of an ingest
    assert world.findings() == {}


def test_overwritten_values_are_reported_by_the_last_parity_check(world: World) -> None:
    run_sql(world.settings, 'UPDATE online."asof.payments_agg_90d_fv" SET failed_payments_90d = 99')
    record_parity(world.settings, check_parity(world.settings, CHURN))
    assert world.finding("parity:churn").fix.startswith("python -m flows ingest")
    materialise(world.settings, whole=True)
    record_parity(world.settings, check_parity(world.settings, CHURN))
    assert world.findings() == {}


def test_a_view_applied_with_other_features_is_reported_twice_until_the_old_one_is_applied(
    world: World,
) -> None:
    from feast import FeatureView, Field
    from feast.types import Int64

    from asof.features.feature_store import feature_store, quiet

    with feature_store(world.settings) as store, quiet():
        old = store.get_feature_view("payments_agg_90d_fv")
        fields = [Field(name="failed_payments", dtype=Int64)]
        service = store.get_feature_service("churn_v2")
        changed = FeatureView(
            name=old.name, entities=[store.get_entity("user")], schema=fields, source=old.batch_source
        )
        kept = [each for each in service.feature_view_projections if each.name != old.name]
        service.feature_view_projections = [*kept, changed.projection]
        store.apply([changed, service])
    found = world.findings()
    assert "failed_payments_90d" in found["contract:churn"].found
    assert {"payments_agg_90d_fv", "churn_v2"} <= set(
        found["unapplied"].found.replace(".", ",").replace(":", ",").replace(" ", "").split(",")
    )
    apply_features(world.settings)
    materialise(world.settings)
    assert world.findings() == {}


def test_an_online_table_that_is_gone_is_reported(world: World) -> None:
    run_sql(world.settings, 'DROP TABLE online."asof.users_fv"')
    found = world.finding("contract:churn")
    assert found.fix == "python -m flows ingest --whole"
    apply_features(world.settings)  # as such an ingest
    materialise(world.settings, whole=True)
    assert world.findings() == {}


# --- MLflow ------------------------------------------------------------------------------------------------------


def test_an_alias_that_was_moved_by_hand_is_reported_and_restored_by_the_fix(whole: World) -> None:
    second, _ = kit.register_small_model(whole.settings, whole.version.facts.contract)
    open_tracking(whole.settings).set_registered_model_alias(kit.NAME, "production", second.version)
    found = whole.findings()
    assert {"alias-and-stage:churn", "history-and-mlflow:churn"} == found.keys()
    assert found["alias-and-stage:churn"].fix == found["history-and-mlflow:churn"].fix
    words = shlex.split(found["history-and-mlflow:churn"].fix)
    assert words[:5] == ["python", "-m", "flows", "rollback", "churn"]
    rollback(whole.settings, CHURN, to=words[words.index("--to") + 1], reason=words[-1])
    assert whole.findings() == {}


def test_an_alias_on_a_version_that_was_rolled_back_is_not_advised_to_stay_there(whole: World) -> None:
    """By its number alone it was in Production before: a rollback to it would be done."""
    bad, _ = kit.register_small_model(whole.settings, whole.version.facts.contract)
    promote(whole.settings, bad, judge=always)
    rollback(whole.settings, CHURN, reason="complaints")
    client = open_tracking(whole.settings)
    client.set_registered_model_alias(kit.NAME, "production", bad.version)
    found = whole.findings()
    client.set_registered_model_alias(kit.NAME, "production", whole.version.version)
    assert {"alias-and-stage:churn", "history-and-mlflow:churn"} == found.keys()
    for each in found.values():
        assert each.fix.startswith(f"python -m flows rollback churn --to {whole.version.version} ")


def test_no_rollback_is_advised_to_a_version_that_is_not_the_one_of_the_history(whole: World) -> None:
    """Of another run under the same number, without a trusted signature, gone from MLflow; or without a history."""
    with reading(whole.settings) as connection:
        *before, head = read_history(connection, kit.NAME)
    stranger = Ed25519PrivateKey.generate().public_key()
    others = whole.settings.model_copy(update={"trusted_keys": public_text({key_id(stranger): stranger})})
    other_run = replace(head, bento=f"{kit.NAME}:v{head.version}-00000000-1c0ffee1")
    assert "rollback churn --to" in restore_command(whole.settings, CHURN, [*before, head])
    fixes = [
        restore_command(whole.settings, CHURN, [*before, other_run]),
        restore_command(others, CHURN, [*before, head]),
        restore_command(whole.settings, CHURN, [*before, replace(head, version="4711")]),
    ]
    for fix, why in zip(fixes, ("it is of run", "signed by", "no version '4711'"), strict=True):
        assert why in fix
        assert "restore MLflow's database" in fix
        assert "rollback" not in fix
    nothing = [
        restore_command(whole.settings, CHURN, []),
        restore_command(whole.settings, CHURN, [replace(head, version=None)]),
    ]
    assert all("python -m flows retrain churn" in fix and "rollback" not in fix for fix in nothing)


def test_a_model_that_no_trusted_key_signed_is_reported_until_its_key_is_trusted(whole: World) -> None:
    stranger = Ed25519PrivateKey.generate().public_key()
    other = public_text({key_id(stranger): stranger})
    found = whole.findings(settings=whole.settings.model_copy(update={"trusted_keys": other}))
    assert set(found) == {f"signature:{kit.NAME}", "untrusted-signer"}
    assert "ASOF_TRUSTED_KEYS" in found[f"signature:{kit.NAME}"].fix
    ours = signing_key(whole.settings).public_key()
    both = f"{other},{public_text({key_id(ours): ours})}"
    assert whole.findings(settings=whole.settings.model_copy(update={"trusted_keys": both})) == {}


@contextmanager
def mlflow_that_allows(hosts: str, folder: Path, port: int) -> Iterator[None]:
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    words = ("server", "--workers", "1", "--allowed-hosts", hosts)
    service = Service("mlflow", "MLflow", "mlflow", words, port, "/health", environment)
    running = background.launch(service, folder, ("127.0.0.1", port))
    try:
        background.wait_until_healthy(service, running, folder)
        yield
    finally:
        background.end(service.name, folder)


def test_an_mlflow_that_refuses_our_host_name_accepts_it_after_the_fix(tmp_path: Path) -> None:
    port = free_port(15150, "MLflow")
    address = f"http://localhost:{port}"
    with mlflow_that_allows(f"127.0.0.1:{port}", tmp_path, port):
        (found,) = check_server(address)
    assert (found.name, found.severity) == ("mlflow-allowed-hosts", Severity.ERROR)
    words = found.fix.split()
    with mlflow_that_allows(words[words.index("--allowed-hosts") + 1], tmp_path, port):
        assert list(check_server(address)) == []


# --- servers -----------------------------------------------------------------------------------------------------


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A server that gives these answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (404, None))
            content = json.dumps(body).encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_unexpected_response_is_a_finding(world: World) -> None:
    with answering({"/livez": (200, None)}) as address:
        found = world.findings(services=(address,), prefect=address)
    assert set(found) == {"service-not-ready", "service-model", "prefect"}
    gone = world.findings(services=(address,), mlflow=address, prefect=address)
    assert set(gone) == {"service", "mlflow", "prefect"}


def test_a_healthy_prefect_server_has_no_finding(world: World, prefect_api: str) -> None:
    assert world.findings(prefect=prefect_api.removesuffix("/api")) == {}


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_prints_json_and_ends_with_0_without_errors(
    whole: World, world: World, prefect_api: str, tmp_path: Path
) -> None:
    import os

    own = {"PREFECT_API_URL": prefect_api, "BENTOML_HOME": str(tmp_path), "ASOF_CLOCK": "2026-11-05"}
    environment = {**os.environ, **world.settings.environment(), **own}
    done = start_flows(environment, "doctor", "churn", "--json")
    report = json.loads(done.stdout.splitlines()[-1])
    assert [each for each in report["findings"] if each["severity"] == "error"] == []
    assert (report["well"], done.returncode) == (True, 0)


def test_the_command_ends_with_1_where_an_address_does_not_answer_and_shows_no_password(
    world: World, tmp_path: Path
) -> None:
    import os

    environment = {**os.environ, **world.settings.environment(), "BENTOML_HOME": str(tmp_path)}
    port = kit.free_port()
    address = f"http://ann:hunter2@127.0.0.1:{port}"
    done = call_flows(environment, "doctor", "--url", address, "--mlflow", address, "--prefect", address)
    assert done.returncode == 1
    assert done.stdout.count(f"127.0.0.1:{port}") >= 3
    assert "hunter2" not in done.stdout + done.stderr
