"""The doctor's checks on PostgreSQL, Feast, MLflow, Prefect and the service, on facts that are given."""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asof.settings import PROJECT
from asof.trust.signing_keys import key_id
from asof.use_cases import load
from doctor import http
from doctor.data import loads, parity, service
from doctor.data.loads import OnlineView, View
from doctor.data.parity import ParityCheck
from doctor.data.production import check_alias, check_history, check_newest_bento
from doctor.examination import check_failed
from doctor.finding import Finding, Severity
from doctor.http import Response, get, redacted
from doctor.platforms import database, feast_file, leftovers, mlflow_server, prefect_server
from doctor.platforms.database import DatabaseState
from doctor.report import report
from tests.kits.models.training import SMALL
from tests.kits.service.serving import facts_of
from training.release.promotion.history_report import HistoryReport
from training.release.promotion.registry_state import RegistryState
from training.release.registry.tags import bento_tag
from training.release.registry.versions import ModelVersion

NOW = datetime(2026, 11, 27, tzinfo=UTC)
CHURN = load("churn")
GOOD = DatabaseState("asof", "ann", 150004, "on", "default", 5, 100, None, 0.01)
VIEW = View("usage_fv", "usage", timedelta(days=45), refuses=True)
ONLINE = OnlineView(VIEW, NOW, 0, 0, NOW - timedelta(days=10))
FILE = yaml.safe_load((PROJECT / "feature_repo" / "feature_store.yaml").read_text())
PASSWORD = "postgresql://ann:secret@db/asof"


def only(found: Iterable[Finding]) -> Finding:
    """The one finding."""
    (finding,) = found
    return finding


def names(found: Iterable[Finding]) -> list[str]:
    return [each.name for each in found]


# --- PostgreSQL --------------------------------------------------------------------------------------------------


def test_a_database_that_is_right_gives_no_finding() -> None:
    assert list(database.check_server(GOOD)) == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"version": 130011}, "postgres-version"),
        ({"nestloop": "off", "nestloop_source": "database"}, "planner"),
        ({"connections": 95}, "connections"),
        ({"clock": 120.0}, "clock:PostgreSQL"),
    ],
)
def test_what_is_wrong_with_a_database(changed: dict[str, object], name: str) -> None:
    assert names(database.check_server(replace(GOOD, **changed))) == [name]  # type: ignore[arg-type]


def test_more_workers_than_connections_are_reported() -> None:
    assert list(database.check_workers(GOOD, 11)) == []
    assert (
        "ASOF_WORKERS=12 may open 108 connections, and PostgreSQL gives 100"
        in only(database.check_workers(GOOD, 12)).found
    )
    assert "gives 20" in only(database.check_workers(replace(GOOD, role_limit=20), 3)).found


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("connection failed: server does not support SSL, but SSL was required", "ASOF_POSTGRES_SSLMODE=disable"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", no encryption', "ASOF_POSTGRES_SSLMODE=require"),
        ('FATAL:  password authentication failed for user "ann"', "user and password"),
        ("connection refused", "Start it"),
        ('FATAL:  database "asof" does not exist', "python -m flows ingest"),
        ('invalid sslmode value: "on"', "disable, require"),
    ],
)
def test_each_refusal_of_postgresql_has_its_fix(reason: str, fix: str) -> None:
    found = database.connection_refused("db:5432", reason)
    assert (found.name, found.severity) == ("postgres", Severity.ERROR)
    assert fix in found.fix


def test_an_unencrypted_connection_over_a_network_is_reported() -> None:
    assert only(database.check_encryption("db.example", "disable")).severity is Severity.WARNING
    assert only(database.check_encryption("postgres", "disable")).severity is Severity.NOTE
    assert (
        list(database.check_encryption("db.example", "require"))
        == list(database.check_encryption("127.0.0.1", "disable"))
        == []
    )


def test_what_is_left_behind_is_reported_with_the_statement() -> None:
    assert "DROP TABLE public.a, public.b" in only(leftovers.leaked_tables(["public.a", "public.b"])).fix
    assert only(leftovers.abandoned_schemas(["known_at_1"])).severity is Severity.NOTE
    assert "pg_terminate_backend(7)" in only(leftovers.idle_transactions(["7", "8"])).fix
    assert only(leftovers.unguarded_tables(["usage"])).severity is Severity.ERROR
    for check in (leftovers.leaked_tables, leftovers.abandoned_schemas, leftovers.idle_transactions):
        assert list(check([])) == []


def test_grants_that_deviate_are_reported_together() -> None:
    found = only(database.report_grants(["one", "two", "three", "four"]))
    assert (found.severity, found.fix.split("  ")[0]) == (Severity.ERROR, "python -m flows databases")
    assert found.found.endswith("one; two; three; and 1 more.")
    assert list(database.report_grants([])) == []


def test_a_prefect_database_that_has_grown_is_reported() -> None:
    found = only(leftovers.check_size("prefect.db", 3 * leftovers.MAX_PREFECT_BYTES))
    assert "3,000 MB" in found.found
    assert "DB_VACUUM" in found.fix
    assert list(leftovers.check_size("prefect.db", 1_000_000)) == []


# --- Feast -------------------------------------------------------------------------------------------------------


def test_our_own_feature_store_file_is_right() -> None:
    assert list(feast_file.check_settings(FILE)) == []


def test_dangerous_settings_in_a_feature_store_file_are_reported() -> None:
    offline = {**FILE["offline_store"], "db_schema": "public"}
    assert "enable_nestloop=off" in only(feast_file.check_settings({**FILE, "offline_store": offline})).fix
    for store in ("offline_store", "online_store"):
        without = {name: value for name, value in FILE[store].items() if name != "sslmode"}
        assert names(feast_file.check_settings({**FILE, store: without})) == [f"feast-sslmode:{store}"]
    for seconds in (0, 86400):
        changed = {**FILE, "registry": {**FILE["registry"], "cache_ttl_seconds": seconds}}
        assert names(feast_file.check_settings(changed)) == ["registry-cache"]
    assert names(feast_file.check_settings({**FILE, "materialization": {}})) == ["pull-latest"]


def test_an_online_store_that_is_behind_is_reported() -> None:
    found = only(loads.check_behind([ONLINE, replace(ONLINE, unseen=2)], "ingest it"))
    assert (found.severity, found.fix.split("  ")[0]) == (Severity.ERROR, "ingest it")
    assert "usage_fv (2)" in found.found
    assert "usage_fv (all)" in only(loads.check_behind([replace(ONLINE, as_of=None, unseen=3)], "")).found
    assert only(loads.check_behind([replace(ONLINE, passed=1)], "")).severity is Severity.WARNING
    assert list(loads.check_behind([ONLINE], "")) == []


@pytest.mark.parametrize(
    ("folders", "known_at", "command"),
    [
        ([("month_2024-02-29", "2024-02-29")], "2024-03-04T10:11", "'/data/our extracts'"),
        ([("month_001", "2024-02-29"), ("month_000", "2024-01-15")], "2024-03-04T10:11", "--as-of 2024-01-15"),
        ([("month_002_r10", "2024-03-31"), ("labels_001", "2024-02-29")], "2024-05-01T10:11", "--as-of 2024-01-31"),
        ([("month_001", "2024-02-29")], "2024-02-29", "--as-of 2024-01-31 --backfill"),
        ([("january", "2024-01-31")], "2024-03-04T10:11", "--as-of 2024-01-31"),
    ],
)
def test_an_ingest_is_to_be_repeated_as_it_was_given(
    folders: list[tuple[str, str]], known_at: str, command: str
) -> None:
    parent, files = Path("/data/our extracts"), {"users.csv"}
    known = datetime.fromisoformat(known_at).replace(tzinfo=UTC)
    done = [
        loads.Load(parent / name, datetime.fromisoformat(as_of).replace(tzinfo=UTC), known, files)
        for name, as_of in folders
    ]
    where = parent / "january" if folders[0][0] == "january" else parent
    repeated = loads.repeat_ingest(done, [load("breast_cancer"), load("churn")])
    assert repeated.startswith(f"python -m flows ingest churn '{where}'")
    assert repeated.endswith(command)
    assert ("--as-of" in repeated, "--backfill" in repeated) == ("--as-of" in command, "--backfill" in command)


def test_an_ingest_of_queries_is_repeated_without_a_folder() -> None:
    moment = datetime(2024, 1, 31, tzinfo=UTC)
    repeated = loads.repeat_ingest([loads.Load(Path("queries"), moment, moment, {"users"})], [load("churn")])
    assert repeated == "python -m flows ingest churn"


def test_where_nothing_is_loaded_the_command_is_the_plain_one() -> None:
    assert loads.repeat_ingest([], [load("churn")]) == "python -m flows ingest"
    assert only(loads.check_interrupted(["users_fv"], "ingest it")).fix == "Unless an ingest runs now: ingest it"


def test_views_whose_newest_row_is_older_than_their_ttl_are_reported() -> None:
    old = replace(ONLINE, newest=NOW - timedelta(days=46))
    assert only(loads.check_age([old], NOW)).severity is Severity.ERROR
    lenient = replace(old, view=replace(VIEW, refuses=False))
    assert only(loads.check_age([lenient], NOW)).severity is Severity.WARNING
    endless = replace(old, view=replace(VIEW, ttl=timedelta()))
    assert list(loads.check_age([ONLINE, endless, replace(ONLINE, newest=None)], NOW)) == []


def test_findings_of_the_parity_ledger() -> None:
    good = ParityCheck(NOW, 100, 0, 0, 0)
    assert list(parity.check_last("churn", good)) == []
    assert only(parity.check_last("churn", replace(good, values_wrong=3))).severity is Severity.ERROR
    assert only(parity.check_last("churn", replace(good, values_past_ttl=3))).severity is Severity.WARNING
    assert only(parity.check_last("churn", replace(good, users=0))).severity is Severity.NOTE


# --- MLflow ------------------------------------------------------------------------------------------------------


def registered(alias: str | None, **stages: str) -> RegistryState:
    versions = {name.removeprefix("v"): stage for name, stage in stages.items()}
    return RegistryState("streamflow_churn", alias, versions, {}, {})


def test_an_alias_beside_the_stage_is_reported_with_the_way_back() -> None:
    found = only(check_alias(CHURN, registered("2", v1="Production", v2="None"), "back"))
    assert "alias `production` is on 2, stage Production on 1" in found.found
    assert found.fix == "back"
    assert list(check_alias(CHURN, registered("2", v1="Archived", v2="Production"), "")) == []
    assert names(check_alias(CHURN, registered(None, v1="None"), "")) == ["nothing-in-production:churn"]
    assert list(check_alias(CHURN, registered(None), "")) == []


def test_a_bento_that_is_not_of_the_version_in_production_is_reported() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    keys = {key_id(key): key}
    version = ModelVersion("streamflow_churn", "2", "abcdef0123456789", facts_of(SMALL), {})
    there = bento_tag("streamflow_churn:v2-abcdef01", keys).partition(":")[2]

    def severities(newest: str | None) -> list[Severity]:
        return [each.severity for each in check_newest_bento(CHURN, version, (newest, keys))]

    assert severities(there) == severities("code-12345678") == []
    for other in (None, "v2-abcdef01-00000000", "v1-abcdef01-00000000", "v2-00000000-00000000"):
        assert severities(other) == [Severity.NOTE]


def test_a_rewritten_history_is_reported() -> None:
    history = HistoryReport("streamflow_churn", False, ("entry 2 is missing",), "", ())
    assert "entry 2 is missing" in only(check_history(CHURN, history, "")).found


def test_servers_of_another_minor_version_are_reported() -> None:
    assert only(mlflow_server.check_version("3.16.0", "3.17.2")).name == "mlflow-version"
    assert (
        list(mlflow_server.check_version("3.17.9", "3.17.2")) == list(mlflow_server.check_version("", "3.17.2")) == []
    )
    assert only(prefect_server.check_version("3.9.0", "3.8.8")).name == "prefect-version"


# --- Prefect -----------------------------------------------------------------------------------------------------


def test_a_prefect_address_that_does_not_answer_is_reported_by_how_it_was_set() -> None:
    by_variable = prefect_server.unreachable("http://ann:secret@h:4200", "refused", set_by={"PREFECT_API_URL": "x"})
    assert "unset PREFECT_API_URL" in by_variable.fix
    assert "secret" not in by_variable.found
    assert "unset" not in prefect_server.unreachable("http://h:4200", "refused", set_by={}).fix


def test_a_prefect_address_without_api_is_reported() -> None:
    assert (
        only(prefect_server.check_api_path("http://ann:secret@h:4200/")).fix
        == "export PREFECT_API_URL=http://h:4200/api"
    )
    assert list(prefect_server.check_api_path("http://h:4200/api")) == list(prefect_server.check_api_path("")) == []


# --- the service -------------------------------------------------------------------------------------------------


def test_findings_of_a_service_about_itself() -> None:
    assert only(service.check_alive("http://h:1", Response(0, trouble="refused"))).severity is Severity.ERROR
    assert only(service.check_alive("http://h:1", Response(404))).name == "service"
    assert list(service.check_alive("http://h:1", Response(200))) == []
    problem = {"detail": "The online store does not answer."}
    assert "online store" in only(service.check_ready("http://h:1", Response(503, problem))).found
    assert list(service.check_ready("http://h:1", Response(200))) == []


def test_a_service_that_requires_a_key_is_a_note() -> None:
    assert only(service.check_following(Response(401))).severity is Severity.NOTE


def test_a_version_that_the_service_refuses_is_reported() -> None:
    refusal = {"version": "4", "step": "trust", "why": "no trusted key", "at": "now"}
    model = {"following": {"registry": "ok", "in_production": "4", "refused": [refusal]}}
    found = only(service.check_following(Response(200, model | {"use_case": "churn"})))
    assert "refused version 4" in found.found
    assert "flows rollback churn --to VERSION" in found.fix, "without it, a rollback goes one version too far"
    gone = {"following": {**model["following"], "in_production": "5"}}
    assert (
        list(service.check_following(Response(200, gone)))
        == list(service.check_following(Response(200, {"following": None})))
        == []
    )
    away = {"following": {**model["following"], "registry": "refused", "refused": []}}
    assert only(service.check_following(Response(200, away))).name == "following"


def test_another_version_than_the_one_in_production_is_reported() -> None:
    model = {"name": "streamflow_churn", "version": "1", "use_case": "churn", "following": None}
    assert only(service.compare_versions(model, "2")).fix.startswith("`make up` starts a service that follows")
    assert only(service.compare_versions({**model, "following": {"registry": "ok"}}, "2")).severity is Severity.WARNING
    assert list(service.compare_versions(model, "1")) == list(service.compare_versions(model, None)) == []


# --- telling -----------------------------------------------------------------------------------------------------


def test_no_password_of_an_address_is_shown() -> None:
    assert redacted("http://ann:secret@h:1/x") == "http://h:1/x"
    assert redacted("ann:sec://ret@h") == "h"
    assert "secret" not in check_failed("a check", ValueError(f"bad {PASSWORD}")).found
    assert get("http://ann:secret/x@h:1", "/livez").trouble == "it cannot be read as an address"


def test_a_slow_response_does_not_block_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_drip, args=(server,), daemon=True).start()
        response = get(f"http://127.0.0.1:{server.getsockname()[1]}", "/livez")
    assert (response.status, response.trouble) == (0, "no complete response within 0.5 seconds")


def _drip(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)


def test_only_errors_fail_the_report() -> None:
    kinds = [Finding(str(each), each, "Found.", "fix it") for each in Severity]
    summary = report(kinds, 1.23)
    assert (summary["well"], summary["errors"], summary["warnings"], summary["notes"]) == (False, 1, 1, 1)
    assert report(kinds[1:], 1.0)["well"]
    assert [each["severity"] for each in summary["findings"]] == ["error", "warning", "note"]
