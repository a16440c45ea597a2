"""Training sets from a lake, by Feast's DuckDB store, beside those of PostgreSQL on the same history."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from pyarrow import dataset
from typer.testing import CliRunner

from asof.errors import ConfigurationError, TrainingSetError
from asof.settings import Settings
from asof.use_case import UseCase
from flows.__main__ import app
from tests.kits.data.history import CHURN, History
from training.data.snapshots.erased import tombstones
from training.features.datasets.dataset import build_training_set
from training.features.datasets.lake import rows
from training.features.datasets.lake.export import export_lake, folder_of_lake
from training.features.datasets.lake.layout import DESCRIPTION

MOMENTS = [("2024-01-31", "2024-02-29"), ("2024-02-29", "2024-03-31"), ("2024-03-31", "2024-05-03")]
JANUARY, MARCH = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(history: History, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What was known at the end of March; not to be changed."""
    folder = tmp_path_factory.mktemp("lake")
    export_lake(history.settings, CHURN, folder, known_at=MARCH)
    return history.settings.model_copy(update={"lake": folder})


@pytest.fixture
def description(lake: Settings, tmp_path: Path) -> Path:
    """That of a lake without files of its own, to be changed."""
    assert lake.lake
    (tmp_path / "churn").mkdir()
    text = (lake.lake / "churn" / DESCRIPTION).read_text()
    (tmp_path / "churn" / DESCRIPTION).write_text(text)
    return tmp_path / "churn" / DESCRIPTION


@pytest.mark.soak
@pytest.mark.parametrize("service", ["churn_v1", "churn_v2"])
@pytest.mark.parametrize(("as_of", "known_at"), MOMENTS)
def test_it_is_the_set_of_postgresql_cell_by_cell(
    history: History, tmp_path: Path, as_of: str, known_at: str, service: str
) -> None:
    """A tenth of the rows came late, and a tenth was corrected later."""
    described, known = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (as_of, known_at))
    export_lake(history.settings, CHURN, tmp_path, known_at=known)
    of_lake = history.settings.model_copy(update={"lake": tmp_path})
    ours = build_training_set(history.settings, CHURN, described, known_at=known, feature_service=service)
    theirs = build_training_set(of_lake, CHURN, described, feature_service=service, from_lake=True)
    assert len(ours.frame) == 400
    part = CHURN.sampled(0.3)
    sampled = build_training_set(history.settings, part, described, known_at=known, feature_service=service)
    assert build_training_set(of_lake, part, described, feature_service=service, from_lake=True).frame.equals(
        sampled.frame
    )
    pd.testing.assert_frame_equal(theirs.frame, ours.frame)
    assert (theirs.rows_digest, theirs.fingerprint) == (ours.rows_digest, ours.fingerprint)
    assert theirs.known_at == known


def test_its_files_are_partitioned_by_the_day_of_as_of(lake: Settings) -> None:
    assert lake.lake
    days = [path.name for path in sorted((lake.lake / "churn" / "users_fv").iterdir())]
    assert days == ["as_of_day=2024-01-31", "as_of_day=2024-02-29", "as_of_day=2024-03-31"]
    part = dataset.dataset(lake.lake / "churn" / "users_fv", partitioning="hive").to_table()
    assert set(part["as_of"].to_pylist()) == {JANUARY, datetime(2024, 2, 29, tzinfo=UTC), MARCH}
    assert max(part["created_at"].to_pylist()) <= MARCH


def test_what_was_known_at_another_moment_is_read_from_postgresql(
    lake: Settings, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(rows, "_joined")
    known = datetime(2024, 5, 3, tzinfo=UTC)
    assert build_training_set(lake, CHURN, JANUARY).known_at > known, "the gate judges by what is known now"
    ours = build_training_set(history.settings, CHURN, JANUARY, known_at=known)
    assert build_training_set(lake, CHURN, JANUARY, known_at=known, from_lake=True).fingerprint == ours.fingerprint


def test_without_duckdb_the_error_says_how_to_install_it(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"sh local/setup.sh requirements/lake.txt"):
        build_training_set(lake, CHURN, JANUARY, from_lake=True)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if DuckDB were: the error comes before it is used."""
    monkeypatch.setattr(rows, "find_spec", lambda name: name)


@pytest.mark.usefixtures("installed")
def test_a_lake_that_is_older_than_a_definition_is_refused(lake: Settings, description: Path) -> None:
    content = json.loads(description.read_text())
    content["parts"]["users_fv"]["source"] = "(SELECT * FROM users)"
    description.write_text(json.dumps(content))
    changed = lake.model_copy(update={"lake": description.parents[1]})
    with pytest.raises(TrainingSetError, match="older than the definition of users_fv"):
        build_training_set(changed, CHURN, JANUARY, feature_service="churn_v2", from_lake=True)


@pytest.mark.usefixtures("installed")
def test_a_lake_that_is_older_than_an_erasure_is_refused(lake: Settings) -> None:
    stone = tombstones.Tombstone("churn", ["user_id"], "00", "key", MARCH, "somebody", "asked", {})
    with psycopg.connect(lake.conninfo(), autocommit=True) as connection:
        tombstones.create_table(connection)
        tombstones.insert(connection, stone)
        try:
            with pytest.raises(TrainingSetError, match="older than an erasure"):
                build_training_set(lake, CHURN, JANUARY, from_lake=True)
        finally:
            connection.execute("DROP TABLE erasures")


@pytest.mark.usefixtures("installed")
def test_a_moment_without_labels_is_named(lake: Settings) -> None:
    with pytest.raises(TrainingSetError, match="no labels as of 2024-01-30"):
        build_training_set(lake, CHURN, datetime(2024, 1, 30, tzinfo=UTC), from_lake=True)


def test_a_damaged_description_is_named(lake: Settings, description: Path) -> None:
    description.write_text("{")
    damaged = lake.model_copy(update={"lake": description.parents[1]})
    with pytest.raises(TrainingSetError, match=r"lake.json cannot be read .*python -m flows lake churn"):
        build_training_set(damaged, CHURN, JANUARY, from_lake=True)


def test_a_second_export_replaces_the_first_and_no_other_folder(history: History, tmp_path: Path) -> None:
    for known_at in (datetime(2024, 2, 29, tzinfo=UTC), MARCH):
        done = export_lake(history.settings, CHURN, tmp_path, known_at=known_at)
    assert [path.name for path in tmp_path.iterdir()] == ["churn"]
    content = json.loads((tmp_path / "churn" / DESCRIPTION).read_text())
    assert content["parts"]["labels"]["rows"] == done.parts["labels"].rows == 800
    (tmp_path / "churn" / DESCRIPTION).unlink()
    with pytest.raises(ConfigurationError, match="is no lake"):
        export_lake(history.settings, CHURN, tmp_path, known_at=MARCH)


def test_what_will_be_known_is_not_exported(history: History, tmp_path: Path) -> None:
    with pytest.raises(TrainingSetError, match="lies in the future"):
        export_lake(history.settings, CHURN, tmp_path, known_at=datetime.now(UTC) + timedelta(days=1))


def test_an_export_needs_a_folder_and_stored_features(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="ASOF_LAKE"):
        folder_of_lake(history.settings, None)
    monkeypatch.setattr(UseCase, "given", "some")
    with pytest.raises(ConfigurationError, match="come with the request"):
        export_lake(history.settings, CHURN, tmp_path, known_at=MARCH)


def test_the_command_writes_one_and_says_what_to_do_next(history: History, tmp_path: Path) -> None:
    words = ["lake", "churn", "--to", str(tmp_path), "--known-at", "2024-03-31", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["folder"], result["rows"]["labels"]) == (str(tmp_path / "churn"), 800)
    assert result["next"] == f"ASOF_LAKE={tmp_path} python -m flows retrain churn"
