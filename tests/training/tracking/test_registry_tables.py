"""MLflow's tables, read without MLflow, give what MlflowClient gives; what they do not hold is left to it."""

import math
from pathlib import Path

import mlflow
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from asof.postgres_url import conninfo_of, parse_url
from asof.settings import Settings
from training.tracking.artifacts import downloaded, read_mlmodel, run_artifact
from training.tracking.client import open_tracking, stages_allowed, tracked_run
from training.tracking.registry_tables import REVISION, RegistryTables, open_registry

NAME = "tables"


@pytest.fixture(scope="module")
def client(settings: Settings) -> MlflowClient:
    """Two versions of a model: metrics, parameters, tags, an alias, a stage, and files."""
    with tracked_run(settings, NAME, "run") as (client, run_id):
        for name, value in {"auc": 0.1 + 0.2, "nothing": math.nan}.items():
            client.log_metric(run_id, name, value)
        client.log_metric(run_id, "auc", 0.7, step=2)
        client.log_param(run_id, "estimator", "forest")
        client.set_tag(run_id, "machine", "x86_64")
        client.log_text(run_id, "a,b", "rows.csv")
        model = mlflow.initialize_logged_model(name="model")
        client.log_model_artifacts(model.model_id, _files(settings.home / "model"))
        mlflow.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model(NAME, tags={"history_entry": "1 abc"})
    for _ in range(2):
        client.create_model_version(NAME, f"models:/{model.model_id}", run_id)
    client.set_model_version_tag(NAME, "2", "fingerprint", "f" * 64)
    client.set_registered_model_alias(NAME, "production", "2")
    with stages_allowed():
        client.transition_model_version_stage(NAME, "2", "Production")
    return client


def _files(folder: Path) -> str:
    folder.mkdir(parents=True)
    Model(metadata={"asof": {"use_case": "churn"}}).save(str(folder / "MLmodel"))
    (folder / "model.skops").write_bytes(b"weights")
    return str(folder)


def _database(settings: Settings) -> psycopg.Connection:
    """MLflow's database of this module."""
    return psycopg.connect(conninfo_of(parse_url(settings.tracking_uri)), autocommit=True)


@pytest.fixture
def tables(settings: Settings, client: MlflowClient) -> RegistryTables:
    opened = open_registry(settings)
    assert isinstance(opened, RegistryTables)
    return opened


def test_the_revision_is_that_of_the_installed_mlflow(settings: Settings, client: MlflowClient) -> None:
    with _database(settings) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]


def test_models_and_versions_are_those_of_the_client(tables: RegistryTables, client: MlflowClient) -> None:
    (model,), (expected,) = (each.search_registered_models(f"name='{NAME}'") for each in (tables, client))
    assert (model.tags, model.aliases) == (expected.tags, {"production": "2"})
    (run_id,) = {each.run_id for each in client.search_model_versions(f"name='{NAME}'")}
    for words in (f"name='{NAME}'", f"name='{NAME}' and run_id='{run_id}'", f"name='{NAME}' and run_id='none'"):
        assert [_facts(each) for each in tables.search_model_versions(words)] == [
            _facts(each) for each in client.search_model_versions(words)
        ]
    assert _facts(tables.get_model_version(NAME, "2")) == _facts(client.get_model_version(NAME, "2"))
    assert tables.search_registered_models("name='unknown'") == []


def _facts(version: object) -> list[object]:
    names = ("version", "run_id", "current_stage", "tags")
    return [str(each) for each in (getattr(version, name) for name in names)]


def test_a_run_is_that_of_the_client(tables: RegistryTables, client: MlflowClient) -> None:
    run_id = client.get_model_version(NAME, "1").run_id
    run, expected = tables.get_run(run_id), client.get_run(run_id)
    assert math.isnan(run.data.metrics.pop("nothing"))
    assert math.isnan(expected.data.metrics.pop("nothing"))
    assert (run.data.metrics, run.data.params, run.data.tags) == (
        expected.data.metrics,
        expected.data.params,
        expected.data.tags,
    )
    for name in ("run_id", "status", "start_time", "lifecycle_stage", "artifact_uri"):
        assert getattr(run.info, name) == getattr(expected.info, name)
    assert [(each.model_id, each.step) for each in run.outputs.model_outputs] == [
        (each.model_id, each.step) for each in expected.outputs.model_outputs
    ]


def test_files_are_read_where_they_are(settings: Settings, tables: RegistryTables, client: MlflowClient) -> None:
    version = client.get_model_version(NAME, "1")
    for uri in (f"models:/{NAME}/1", version.source):
        with downloaded(settings, uri) as folder:
            assert {each.name for each in folder.iterdir()} == {"MLmodel", "model.skops"}
        assert read_mlmodel(tables, uri)["metadata"] == Model.load(uri).metadata == {"asof": {"use_case": "churn"}}
    with downloaded(settings, f"models:/{NAME}/1/model.skops") as path:
        assert path.read_bytes() == b"weights"
    with run_artifact(tables, version.run_id, "rows.csv") as path:
        assert path
        assert path.read_text() == "a,b"
    with run_artifact(tables, version.run_id, "absent.csv") as absent:
        assert absent is None


def test_what_is_absent_is_refused_as_by_the_client(settings: Settings, tables: RegistryTables) -> None:
    with pytest.raises(MlflowException) as no_version:
        tables.get_model_version(NAME, "9")
    assert no_version.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException):
        tables.get_run("0" * 32)
    with pytest.raises(MlflowException), downloaded(settings, f"models:/{NAME}/9"):
        pass


def test_one_connection_serves_all_reads_and_is_replaced_where_the_server_ended_it(
    settings: Settings, client: MlflowClient
) -> None:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with _database(settings) as connection:
        others = set(connection.execute(query).fetchall())
        tables = open_registry(settings)
        assert len(tables.search_model_versions(f"name='{NAME}'")) == len(
            tables.search_model_versions(f"name='{NAME}'")
        )
        (ours,) = set(connection.execute(query).fetchall()) - others
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", ours)
        assert tables.get_model_version(NAME, "2").version == "2"
        (again,) = set(connection.execute(query).fetchall()) - others
        del tables
        connection.execute("SELECT pg_sleep(0.1)")
        assert again not in connection.execute(query).fetchall()


def test_changes_are_made_by_the_client(tables: RegistryTables, client: MlflowClient) -> None:
    tables.set_model_version_tag(NAME, "1", "changed", "yes")
    assert client.get_model_version(NAME, "1").tags["changed"] == "yes"
    assert tables.get_model_version(NAME, "1").tags["changed"] == "yes"


def test_tables_of_another_release_are_left_to_the_client(settings: Settings, client: MlflowClient) -> None:
    with _database(settings) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
        try:
            assert isinstance(open_registry(settings), MlflowClient)
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", (REVISION,))


def test_another_database_is_left_to_the_client(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"mlflow_tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"})
    try:
        assert isinstance(open_registry(elsewhere), MlflowClient)
    finally:
        open_tracking(settings)
