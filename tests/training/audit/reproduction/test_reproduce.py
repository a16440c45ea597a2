"""A version comes out the same whatever was loaded since; and what was tampered with is named, cell by cell."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import skops.io
from pyarrow import parquet

from asof.errors import TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import feature_store
from asof.model_facts import Split
from asof.settings import Settings, export
from asof.use_case import Estimator, FromRequest, UseCase
from simulator import SimulationPlan, simulate
from tests.kits.data.extracts import fetch
from tests.kits.data.history import CHURN, _arrived
from tests.kits.machine.terminal import call_flows
from tests.kits.models.cancer import CANCER, make
from tests.kits.models.training import regression
from training.audit.lineage.training_set import set_origin
from training.audit.reproduction.rebuilt import Cell
from training.audit.reproduction.reproduce import Reproduction, reproduce
from training.data.extracts.deliveries import find_deliveries
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import column_types
from training.features.materialisation.feature_registry import apply_features
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.logged_rows import ROWS_FILE
from training.models.fitting.train import train
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, model_version
from training.tracking.client import open_tracking, tracked_run

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
MARCH_10 = datetime(2024, 3, 10, tzinfo=UTC)
QUICK = replace(
    CHURN, model_name="quick", estimators={"default": Estimator("churn_v2", regression, "a logistic regression")}
)


def trained(settings: Settings, use_case: UseCase, known_at: datetime, *, random_state: int = 42) -> ModelVersion:
    """A registered version of January as it was known then."""
    training_set = build_training_set(settings, use_case, JANUARY, known_at=known_at)
    return register(settings, evaluate(settings, train(settings, use_case, training_set, random_state=random_state)))


@pytest.fixture(scope="module")
def churn(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Churn's own estimator, trained when January's labels had just come; then everything else was loaded."""
    export(settings)
    folder = tmp_path_factory.mktemp("simulated") / "extracts"
    plan = SimulationPlan(date(2024, 4, 30), users=400, months=4, late_share=0.1, correction_share=0.1)
    simulate(plan, folder)
    found = find_deliveries(folder, first=plan.as_of(0), backfill=True)
    deliveries = sorted(map(_arrived, found), key=lambda each: each.known_at)

    def load(chosen: Callable[[datetime], bool]) -> int:
        ours = [each for each in deliveries if chosen(each.known_at)]
        for each in ours:
            take_snapshot(settings, CHURN.extract, each.folder, as_of=each.as_of, known_at=each.known_at)
        return len(ours)

    assert load(lambda known_at: known_at <= FEBRUARY) == 3
    apply_features(settings)
    version = trained(settings, CHURN, FEBRUARY)
    assert load(lambda known_at: known_at > FEBRUARY) > 5
    return version


@pytest.fixture(scope="module")
def quick(settings: Settings, churn: ModelVersion) -> ModelVersion:
    """A quick estimator, trained on January with its late rows and corrections."""
    return trained(settings, QUICK, MARCH_10)


def agreed(found: Reproduction) -> dict[str, bool | None]:
    return {check.check: check.agrees for check in found.checks}


def cells(found: Reproduction) -> list[Cell]:
    assert found.rebuilt.differences is not None
    first = found.rebuilt.differences.first
    assert all(isinstance(each, Cell) for each in first)
    return [each for each in first if isinstance(each, Cell)]


ALL = ("fingerprint", "rows", "definition", "model", "artefact", "metrics")


def test_a_version_comes_out_the_same_after_all_that_was_loaded_since(settings: Settings, churn: ModelVersion) -> None:
    now = build_training_set(settings, CHURN, JANUARY)
    assert now.rows_digest != churn.facts.rows_digest, "late rows and corrections of January have come since"
    found = reproduce(settings, CHURN, churn)
    assert agreed(found) == dict.fromkeys(ALL, True)
    assert (found.agrees, found.greatest_difference, found.metrics, found.not_compared) == (True, 0.0, (), ())
    assert found.verdict == "It comes out the same: rows, definition, metrics and model."
    assert found.rebuilt.differences is None


def test_it_leaves_no_run_and_no_version(settings: Settings, quick: ModelVersion) -> None:
    client = open_tracking(settings)

    def state() -> tuple[int, int]:
        experiments = [each.experiment_id for each in client.search_experiments()]
        return len(client.search_runs(experiments)), len(client.search_model_versions())

    before = state()
    assert reproduce(settings, QUICK, quick).agrees
    assert state() == before
    assert before[0] >= 2


def fees_per_hour(features: Mapping[str, Any]) -> Any:
    return features["monthly_fee"] / (1 + features["watch_hours_30d"])


def test_it_is_trained_as_it_was_whatever_the_use_case_says_now(settings: Settings, quick: ModelVersion) -> None:
    """Split, sample, seed, feature service and derived columns are those of the version."""
    then = replace(QUICK.sampled(0.6), model_name="then", split=Split(0.4), derived={"fees per hour": fees_per_hour})
    version = trained(settings, then, MARCH_10, random_state=7)
    now = replace(
        then.sampled(1.0),
        split=Split(0.2),
        derived={"fees per hour": fees_per_hour, "newer": lambda features: features["monthly_fee"] ** 2},
        estimators={"default": replace(then.estimators["default"], feature_service="churn_v1")},
    )
    found = reproduce(settings, now, version)
    assert agreed(found) == dict.fromkeys(ALL, True)
    assert found.greatest_difference == 0.0
    assert 0 < set_origin(settings, now, version.facts).rows < set_origin(settings, QUICK, quick.facts).rows


@contextmanager
def tampered(settings: Settings, table: str, statement: str, *values: Any) -> Iterator[None]:
    """As only the table's owner can: without the trigger. Everything is put back afterwards."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE untouched AS TABLE {table}".encode())
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only".encode())
        try:
            assert connection.execute(statement.encode(), values).rowcount == 1
            yield
        finally:
            connection.execute(f"DELETE FROM {table}".encode())
            connection.execute(f"INSERT INTO {table} TABLE untouched".encode())
            connection.execute("DROP TABLE untouched")
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only".encode())


def versions_of(settings: Settings, table: str, *, number: int, place: int = 0) -> tuple[str, list[datetime]]:
    """A user, of those who have a label, with that many versions of January's row known on March 10; oldest first."""
    rows = fetch(
        settings,
        f"SELECT user_id, array_agg(created_at ORDER BY created_at) FROM {table}"
        " WHERE as_of = '2024-01-31Z' AND created_at <= '2024-03-10Z' AND user_id IN"
        " (SELECT user_id FROM labels WHERE as_of = '2024-01-31Z' AND created_at <= '2024-03-10Z')"
        f" GROUP BY user_id HAVING count(*) = {number} ORDER BY user_id",
    )
    user, created = rows[place]
    return user, [each.astimezone(UTC) for each in created]


def row_of(settings: Settings, table: str, user: str, created_at: datetime) -> dict[str, Any]:
    query = f"SELECT to_jsonb(t) FROM {table} t WHERE user_id = '{user}' AND as_of = '2024-01-31Z'"
    ((row,),) = fetch(settings, f"{query} AND created_at = '{created_at.isoformat()}'")
    return dict(row)


USAGE = ("watch_hours_30d", "unique_devices_30d", "skips_7d", "rebuffer_events_7d")
THIS = "user_id = %s AND as_of = '2024-01-31Z'"


def test_one_updated_bit_is_named_with_the_row_that_holds_it(settings: Settings, quick: ModelVersion) -> None:
    user, (created_at,) = versions_of(settings, "usage_agg_30d", number=1, place=3)
    then = row_of(settings, "usage_agg_30d", user, created_at)["watch_hours_30d"]
    changed = float(np.nextafter(then, 1e9))
    with tampered(
        settings, "usage_agg_30d", f"UPDATE usage_agg_30d SET watch_hours_30d = %s WHERE {THIS}", changed, user
    ):
        found = reproduce(settings, QUICK, quick)
    (cell,) = cells(found)
    assert (cell.entity, cell.column, cell.source) == (user, "watch_hours_30d", "usage_agg_30d_fv")
    assert (cell.then, cell.now) == (then, changed)
    assert (cell.as_of, cell.created_at) == (JANUARY, created_at)
    assert cell.loaded_at is not None
    assert agreed(found)["rows"] is agreed(found)["fingerprint"] is found.agrees is False
    assert agreed(found)["definition"] is agreed(found)["artefact"] is True
    assert found.verdict.startswith("The rows are not those")
    assert found.rebuilt.differences is not None
    assert found.rebuilt.differences.cells_changed == {"watch_hours_30d": 1}


def test_a_deleted_row_leaves_its_views_cells_empty(settings: Settings, quick: ModelVersion) -> None:
    user, (created_at,) = versions_of(settings, "usage_agg_30d", number=1, place=5)
    then = row_of(settings, "usage_agg_30d", user, created_at)
    with tampered(settings, "usage_agg_30d", f"DELETE FROM usage_agg_30d WHERE {THIS}", user):
        found = cells(reproduce(settings, QUICK, quick))
    assert [(each.column, each.then, each.now) for each in found] == [(name, then[name], None) for name in USAGE]
    assert {(each.entity, each.as_of, each.created_at, each.loaded_at) for each in found} == {(user, None, None, None)}


def test_a_deleted_correction_restores_the_older_version(settings: Settings, quick: ModelVersion) -> None:
    user, (first, corrected) = versions_of(settings, "usage_agg_30d", number=2)
    rows = [row_of(settings, "usage_agg_30d", user, each) for each in (first, corrected)]
    change = f"DELETE FROM usage_agg_30d WHERE {THIS} AND created_at = %s"
    with tampered(settings, "usage_agg_30d", change, user, corrected):
        found = cells(reproduce(settings, QUICK, quick))
    changed = [name for name in USAGE if rows[0][name] != rows[1][name]]
    assert [(each.column, each.then, each.now) for each in found] == [
        (name, rows[1][name], rows[0][name]) for name in changed
    ]
    assert changed
    assert {(each.as_of, each.created_at) for each in found} == {(JANUARY, first)}


def test_a_backdated_row_is_named_with_no_load_of_its_own(settings: Settings, quick: ModelVersion) -> None:
    user, (created_at,) = versions_of(settings, "payments_agg_90d", number=1)
    then = row_of(settings, "payments_agg_90d", user, created_at)["failed_payments_90d"]
    backdated = created_at + timedelta(days=1)
    change = "INSERT INTO payments_agg_90d (user_id, as_of, created_at, failed_payments_90d) VALUES (%s, %s, %s, 77)"
    with tampered(settings, "payments_agg_90d", change, user, JANUARY, backdated):
        found = cells(reproduce(settings, QUICK, quick))
    expected = Cell(user, "failed_payments_90d", then, 77, "payments_agg_90d_fv", JANUARY, backdated, None)
    assert found == [expected]


def test_a_row_that_is_learned_after_the_version_changes_nothing(settings: Settings, quick: ModelVersion) -> None:
    user, _ = versions_of(settings, "payments_agg_90d", number=1)
    change = "INSERT INTO payments_agg_90d (user_id, as_of, created_at, failed_payments_90d) VALUES (%s, %s, %s, 77)"
    with tampered(settings, "payments_agg_90d", change, user, JANUARY, MARCH_10 + timedelta(microseconds=1)):
        assert reproduce(settings, QUICK, quick).agrees


def test_a_deleted_new_or_flipped_label_is_named(settings: Settings, quick: ModelVersion) -> None:
    user, (created_at,) = versions_of(settings, "labels", number=1)
    label = row_of(settings, "labels", user, created_at)["churn_label"]
    with tampered(settings, "labels", f"DELETE FROM labels WHERE {THIS}", user):
        gone = reproduce(settings, QUICK, quick)
    assert cells(gone) == [Cell(user, "churn_label", label, None, "labels", None, None, None)]
    assert gone.rebuilt.differences is not None
    assert (gone.rebuilt.differences.rows_gone, gone.rebuilt.differences.rows_changed) == (1, 0)
    with tampered(settings, "labels", f"UPDATE labels SET churn_label = NOT churn_label WHERE {THIS}", user):
        (turned,) = cells(reproduce(settings, QUICK, quick))
    assert (turned.entity, turned.then, turned.now) == (user, label, not label)
    assert (turned.source, turned.as_of, turned.created_at) == ("labels", JANUARY, created_at)
    with tampered(settings, "labels", "INSERT INTO labels VALUES ('zzz', %s, %s, true)", JANUARY, FEBRUARY):
        new = reproduce(settings, QUICK, quick)
    assert [(each.entity, each.then, each.now, each.created_at) for each in cells(new)] == [
        ("zzz", None, True, FEBRUARY)
    ]
    assert new.rebuilt.differences is not None
    assert new.rebuilt.differences.rows_new == 1


def test_when_no_label_is_left_there_is_no_training_set_any_more(settings: Settings, quick: ModelVersion) -> None:
    elsewhere = replace(quick, facts=replace(quick.facts, as_of=JANUARY - timedelta(days=1)))
    with pytest.raises(TrainingSetError, match="no features as of 2024-01-30"):
        reproduce(settings, QUICK, elsewhere)


@contextmanager
def changed_view(settings: Settings, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Feast's registry with another definition of a view; ours again afterwards."""
    with feature_store(settings) as store:
        view = store.get_feature_view(name)
        change(view)
        store.apply([view])
    try:
        yield
    finally:
        apply_features(settings)


def test_another_ttl_is_another_definition_of_the_same_rows(settings: Settings, quick: ModelVersion) -> None:
    with changed_view(settings, "usage_agg_30d_fv", lambda view: setattr(view, "ttl", timedelta(days=44))):
        found = reproduce(settings, QUICK, quick)
    assert agreed(found) == dict.fromkeys(ALL, True) | {"fingerprint": False, "definition": False}
    assert found.rebuilt.differences is None
    assert len(found.rebuilt.definition) == 2
    before, after = found.rebuilt.definition
    assert before.startswith("-")
    assert after.startswith("+")
    assert str(45 * 86400) in before
    assert str(44 * 86400) in after
    assert found.verdict == "The features or their SQL are defined otherwise now."


def test_another_query_of_a_view_is_named_and_the_cells_that_it_changes(
    settings: Settings, quick: ModelVersion
) -> None:
    def change(view: Any) -> None:
        options = view.batch_source._postgres_options
        options._query = options._query.replace("monthly_fee,", "monthly_fee + 1 AS monthly_fee,")

    with changed_view(settings, "subs_profile_fv", change):
        found = reproduce(settings, QUICK, quick)
    assert (agreed(found)["rows"], agreed(found)["definition"]) == (False, False)
    assert any(line.startswith("+") and "monthly_fee + 1" in line for line in found.rebuilt.definition)
    assert found.rebuilt.differences is not None
    assert set(found.rebuilt.differences.cells_changed) == {"monthly_fee"}
    assert found.rebuilt.differences.cells_changed["monthly_fee"] > 300
    assert len(cells(found)) == 20
    assert all(each.now == each.then + 1 and each.created_at for each in cells(found))


def other_penalty(contract: FeatureContract, random_state: int) -> Any:
    return regression(contract, random_state).set_params(model__C=0.5)


OTHER = replace(QUICK, estimators={"default": Estimator("churn_v2", other_penalty, "another penalty")})


@pytest.fixture
def older_library(settings: Settings, quick: ModelVersion) -> Iterator[str]:
    """The run says that another scikit-learn fitted it."""
    client = open_tracking(settings)
    present = client.get_run(quick.run_id).data.tags["version.scikit-learn"]
    client.set_tag(quick.run_id, "version.scikit-learn", "1.8.0")
    yield present
    client.set_tag(quick.run_id, "version.scikit-learn", present)


def test_another_environment_is_reported_and_is_no_failure(
    settings: Settings, quick: ModelVersion, older_library: str
) -> None:
    found = reproduce(settings, QUICK, quick)
    drift = {each.name: (each.recorded, each.now) for each in found.environment if each.changed}
    assert drift == {"version.scikit-learn": ("1.8.0", older_library)}
    assert found.agrees
    assert {"version.python", "version.scipy", "blas", "git_commit"} <= {each.name for each in found.environment}


def test_another_environment_is_named_first_where_the_same_rows_give_another_model(
    settings: Settings, quick: ModelVersion, older_library: str
) -> None:
    found = reproduce(settings, OTHER, quick)
    assert found.verdict == (
        f"The environment differs: version.scikit-learn 1.8.0, now {older_library}. "
        "The model came out differently from the same rows."
    )


def test_another_model_of_the_same_rows_is_reported_with_every_metric_that_differs(
    settings: Settings, quick: ModelVersion
) -> None:
    found = reproduce(settings, OTHER, quick)
    assert agreed(found) == dict.fromkeys(ALL, True) | {"model": False, "metrics": False}
    assert found.greatest_difference is not None
    assert 0 < found.greatest_difference < 0.5
    figures = {each.metric: (each.recorded, each.now) for each in found.metrics}
    assert figures["log_loss"][0] == quick.metrics["log_loss"] != figures["log_loss"][1]
    assert not {"training_seconds", "rows_train", "base_rate"} & figures.keys()
    assert found.verdict.startswith("The environment is the same. The model came out differently")


def test_a_metric_that_is_off_in_the_last_digit_is_listed(settings: Settings, quick: ModelVersion) -> None:
    auc = float(np.nextafter(quick.metrics["auc"], 1))
    found = reproduce(settings, QUICK, replace(quick, metrics={**quick.metrics, "auc": auc, "gone": 1.0}))
    assert [(each.metric, each.recorded, each.now) for each in found.metrics] == [
        ("auc", auc, quick.metrics["auc"]),
        ("gone", 1.0, None),
    ]
    assert not found.agrees


def older(settings: Settings, quick: ModelVersion, *, without: set[str]) -> ModelVersion:
    """The same version as an earlier AsOf would have registered it: without those facts, and without our artefacts."""
    name = f"older_{len(without)}"
    client = open_tracking(settings)
    import mlflow

    model = mlflow.sklearn.load_model(f"models:/quick/{quick.version}")
    facts = {key: value for key, value in quick.facts.to_dict().items() if key not in without}
    with tracked_run(settings, name, name) as (_, run_id):
        mlflow.log_metrics(dict(quick.metrics))
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            pip_requirements=["scikit-learn"],
            metadata={"asof": facts},
            registered_model_name=name,
        )
    assert client.list_artifacts(run_id) == []
    return model_version(settings, replace(QUICK, model_name=name), "1")


def test_a_version_from_before_its_rows_were_kept_is_compared_by_digest(
    settings: Settings, quick: ModelVersion
) -> None:
    version = older(settings, quick, without={"model_digest"})
    found = reproduce(settings, QUICK, version)
    assert found.agrees
    assert agreed(found) == dict.fromkeys([name for name in ALL if name != "artefact"], True)
    assert [note.split(":")[0] for note in found.not_compared] == ["The version is older than the model's digest"]
    assert {each.recorded for each in found.environment} == {"not recorded"}
    assert not any(each.changed for each in found.environment)
    user, _ = versions_of(settings, "usage_agg_30d", number=1)
    with (
        tampered(settings, "usage_agg_30d", f"UPDATE usage_agg_30d SET skips_7d = skips_7d + 1 WHERE {THIS}", user),
        changed_view(settings, "users_fv", lambda view: setattr(view, "ttl", timedelta(days=399))),
    ):
        changed = reproduce(settings, QUICK, version)
    assert (agreed(changed)["rows"], agreed(changed)["definition"]) == (False, False)
    assert (changed.rebuilt.differences, changed.rebuilt.definition) == (None, ())
    assert [note.split(":")[0] for note in changed.rebuilt.not_compared] == [
        "The run keeps no training_set.sql",
        "The run keeps no training_set.parquet",
    ]


def test_a_version_from_before_any_digest_is_compared_by_model_and_metrics_and_does_not_agree(
    settings: Settings, quick: ModelVersion
) -> None:
    found = reproduce(settings, QUICK, older(settings, quick, without={"model_digest", "rows_digest"}))
    expected = {"fingerprint": None, "rows": None, "definition": None, "model": True, "metrics": True}
    assert agreed(found) == expected
    assert not found.agrees
    assert found.verdict == "What could be compared is the same, but not everything could be."


def test_kept_rows_that_are_not_those_of_the_version_are_not_compared(
    settings: Settings, churn: ModelVersion, tmp_path: Path
) -> None:
    version = trained(settings, replace(QUICK, model_name="forged"), MARCH_10)
    client = open_tracking(settings)
    rows = parquet.read_table(client.download_artifacts(version.run_id, ROWS_FILE))
    user, _ = versions_of(settings, "usage_agg_30d", number=1)
    forged = [rows.slice(1), rows.drop_columns("skips_7d"), rows.take(list(range(rows.num_rows))[::-1])]
    with tampered(settings, "usage_agg_30d", f"DELETE FROM usage_agg_30d WHERE {THIS}", user):
        for each in forged:
            parquet.write_table(each, tmp_path / ROWS_FILE)
            client.log_artifact(version.run_id, str(tmp_path / ROWS_FILE))
            found = reproduce(settings, QUICK, version)
            assert found.rebuilt.differences is None
            assert "is not what the version was trained on" in found.rebuilt.not_compared[0]


def test_a_model_file_that_was_exchanged_is_reported(settings: Settings, churn: ModelVersion) -> None:
    version = trained(settings, replace(QUICK, model_name="exchanged"), MARCH_10)
    client = open_tracking(settings)
    (output,) = client.get_run(version.run_id).outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    path = Path(logged.artifact_location.removeprefix("file://")) / "model.skops"
    model = skops.io.load(path)
    model["model"].coef_[0, 0] += 0.25
    skops.io.dump(model, path)
    found = reproduce(settings, QUICK, version)
    assert agreed(found) == dict.fromkeys(ALL, True) | {"artefact": False}
    assert found.verdict == "The model in MLflow is not the one that was trained."
    assert found.greatest_difference is not None
    assert found.greatest_difference > 0


def test_rows_that_no_model_can_be_fitted_on_are_reported_all_the_same(settings: Settings, quick: ModelVersion) -> None:
    """A null in every row: none is complete."""

    def change(view: Any) -> None:
        options = view.batch_source._postgres_options
        options._query = options._query.replace("monthly_fee,", "NULL::float8 AS monthly_fee,")

    with changed_view(settings, "subs_profile_fv", change):
        found = reproduce(settings, QUICK, quick)
    (note,) = found.not_compared
    assert note.startswith("No model could be fitted on the present rows. The training side has 0 complete rows and ")
    assert " rows subs_profile_fv:monthly_fee is null in all; load the missing rows" in note
    assert agreed(found) == dict.fromkeys(ALL, False) | {"artefact": True}
    assert found.greatest_difference is None
    assert {(each.column, each.now) for each in cells(found)} == {("monthly_fee", None)}
    assert {each.now for each in found.metrics} == {None}


def test_the_kept_rows_are_the_training_set_with_its_gaps(settings: Settings, churn: ModelVersion) -> None:
    path = open_tracking(settings).download_artifacts(churn.run_id, ROWS_FILE)
    rows, contract = parquet.read_table(path), churn.facts.contract
    assert rows["watch_hours_30d"].null_count > 10, "late rows were not there yet"
    assert rows_digest([rows], column_types(contract, "churn_label"), key=["user_id"]) == churn.facts.rows_digest
    assert parquet.read_metadata(path).row_group(0).column(1).compression == "ZSTD"


def test_breast_cancer_comes_out_the_same_and_a_changed_measurement_is_named(settings: Settings) -> None:
    version = make(settings).version
    found = reproduce(settings, CANCER, version)
    assert agreed(found) == dict.fromkeys(ALL, True)
    assert (found.agrees, found.greatest_difference) == (True, 0.0)
    source = CANCER.source
    assert isinstance(source, FromRequest)
    rows = source.rows()
    rows.loc[7, "worst area"] += 1
    changed = reproduce(settings, replace(CANCER, source=replace(source, rows=lambda: rows)), version)
    (cell,) = cells(changed)
    assert (cell.entity, cell.column, cell.now) == ("wdbc-007", "worst area", cell.then + 1)
    assert (cell.source, cell.created_at) == ("", None)
    assert agreed(changed)["definition"] is True


def test_the_command_reports_what_agrees_and_its_exit_code_whether_all_does(
    settings: Settings, world: dict[str, str], quick: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.stages.reproduce.load", lambda _: QUICK)
    same = call_flows(world, "reproduce", "churn", quick.version, "--json")
    assert same.returncode == 0, same.stdout + same.stderr
    output = json.loads(same.stdout.splitlines()[-1])
    assert output["agrees"] is True
    assert {check["check"] for check in output["checks"]} == set(ALL)
    user, _ = versions_of(settings, "labels", number=1)
    turn = f"UPDATE labels SET churn_label = NOT churn_label WHERE {THIS}"
    with tampered(settings, "labels", turn, user):
        other = call_flows(world | {"COLUMNS": "200"}, "reproduce", "churn", quick.version)
    assert other.returncode == 1
    assert [word for word in (user, "churn_label", "fingerprint") if word not in other.stdout] == []
    unknown = call_flows(world, "reproduce", "churn", "99")
    assert unknown.returncode == 1
    assert "has no version '99'" in unknown.stderr
