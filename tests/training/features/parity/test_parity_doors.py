"""Where parity is asked: in the promotion gate, in the terminal, and after each ingest."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import Estimator
from tests.kits.data import parity as kit
from tests.kits.data.history import CHURN, History, moment
from tests.kits.machine.terminal import Done, call_flows
from tests.kits.models.training import regression
from tests.kits.service.serving import registered_contract
from training.features.materialisation.materialise import materialise
from training.release.gate.parity_criterion import CRITERION, online_store_agrees
from training.targets.rules import Criterion

APRIL, MAY, JUNE = (moment(date(2024, *day)) for day in ((4, 30), (5, 31), (6, 30)))
PAYMENTS, FAILED = "payments_agg_90d_fv", "failed_payments_90d"


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """On Feast's own online store: it is its tables that are damaged and locked here."""
    return settings.model_copy(update={"online_store": "postgres"})


@pytest.fixture(scope="module")
def contract(history: History) -> FeatureContract:
    materialise(history.settings)
    return registered_contract(history.settings)


@pytest.fixture
def copy(history: History, contract: FeatureContract) -> Iterator[History]:
    with kit.database_copy(history.settings) as settings:
        yield replace(history, settings=settings)


@pytest.fixture(scope="module")
def april(history: History) -> Path:
    return history.folder / "month_003"


@pytest.fixture(scope="module")
def user(history: History) -> str:
    """One of April's."""
    return (history.folder / "month_003" / "payments_agg_90d.csv").read_text().splitlines()[1].split(",")[0]


def criterion(history: History, contract: FeatureContract) -> Criterion:
    return online_store_agrees(history.settings, CHURN, contract)


def test_a_store_in_order_lets_a_model_in(copy: History, contract: FeatureContract) -> None:
    judged = criterion(copy, contract)
    assert (judged.name, judged.passed) == (CRITERION, True)
    assert judged.figures["users"] == 400
    assert judged.figures["values_wrong"] == judged.figures["differing_users"] == 0
    assert "0 of 6,800 values of 400 users differ, as of 2024-04-30" in judged.reason
    assert "materialised to 20" in judged.reason


def test_one_wrong_value_keeps_it_out_and_the_reason_says_what_to_do(
    copy: History, contract: FeatureContract, user: str
) -> None:
    kit.overwrite(copy.settings, PAYMENTS, FAILED, user, int64_val=99)
    judged = criterion(copy, contract)
    assert not judged.passed
    assert judged.figures["values_wrong"] == 1
    assert "1 of 6,800 values" in judged.reason
    assert "`python -m flows ingest`" in judged.reason


def test_each_comparison_leaves_a_row_of_figures(copy: History, contract: FeatureContract, user: str) -> None:
    criterion(copy, contract)
    kit.overwrite(copy.settings, PAYMENTS, FAILED, user, int64_val=99)
    criterion(copy, contract)
    with psycopg.connect(copy.settings.conninfo()) as connection:
        rows = connection.execute(
            "SELECT use_case, as_of, population, users, differing_users, differing_at_most, values_wrong,"
            " values_past_ttl FROM parity_checks ORDER BY checked_at DESC LIMIT 2"
        ).fetchall()
    assert rows == [("churn", APRIL, 400, 400, 1, 1 / 400, 1, 0), ("churn", APRIL, 400, 400, 0, 0.0, 0, 0)]


def test_a_view_that_was_never_materialised_keeps_it_out(copy: History, contract: FeatureContract) -> None:
    with psycopg.connect(copy.settings.conninfo()) as connection:
        connection.execute("TRUNCATE online.asof_users_fv")
        connection.execute("DELETE FROM materialisations WHERE view = 'users_fv'")
    assert not criterion(copy, contract).passed


def test_where_nothing_was_materialised_the_next_step_is_reported(copy: History, contract: FeatureContract) -> None:
    with psycopg.connect(copy.settings.conninfo()) as connection:
        connection.execute("DROP TABLE materialisations")
    judged = criterion(copy, contract)
    assert not judged.passed
    assert "none of subs_profile_fv, " in judged.reason
    assert "run `python -m flows ingest`" in judged.reason


def test_what_was_loaded_since_the_last_materialisation_is_no_fault_of_the_store(
    copy: History, contract: FeatureContract, april: Path, tmp_path: Path, user: str
) -> None:
    corrected = kit.with_value(user, FAILED, "77")
    kit.deliver(copy.settings, april, tmp_path / "april_r1", APRIL, payments_agg_90d=corrected)
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    judged = criterion(copy, contract)
    assert judged.passed, judged.reason
    assert "as of 2024-04-30" in judged.reason


def test_a_store_that_shows_an_earlier_moment_is_compared_at_that_one(
    copy: History, contract: FeatureContract, user: str
) -> None:
    february = moment(copy.plan.as_of(1))
    materialise(copy.settings, as_of=february + timedelta(days=3))
    judged = criterion(copy, contract)
    assert judged.passed, judged.reason
    assert "as of 2024-02-29" in judged.reason
    assert "materialised to 2024-03-03" in judged.reason


def test_a_view_that_stayed_behind_is_compared_at_the_moment_of_the_others(
    copy: History, contract: FeatureContract, april: Path, tmp_path: Path
) -> None:
    materialise(copy.settings, as_of=APRIL)
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    with psycopg.connect(copy.settings.conninfo()) as connection:
        connection.execute("ALTER TABLE loads DISABLE TRIGGER append_only")
        connection.execute(
            "UPDATE loads SET files = jsonb_set(files, '{payments_agg_90d.csv,new_rows}', '0') WHERE as_of = %s", (MAY,)
        )
    done = {each.view: each.since for each in materialise(copy.settings, as_of=MAY).refreshes}
    assert done[PAYMENTS] is None
    judged = criterion(copy, contract)
    assert "materialised to 2024-05-31" in judged.reason
    assert not judged.passed
    assert 0 < judged.figures["values_wrong"] <= judged.figures["users"], "May's payments, and nothing else"


def test_rows_past_their_ttl_are_reported_and_let_it_in(
    copy: History, contract: FeatureContract, april: Path, tmp_path: Path, user: str
) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    kit.deliver(copy.settings, april, tmp_path / "june", JUNE)
    kit.deliver(copy.settings, april, tmp_path / "later", JUNE + timedelta(days=46), payments_agg_90d=kit.without(user))
    materialise(copy.settings)
    judged = criterion(copy, contract)
    assert judged.passed, judged.reason
    assert judged.figures["values_past_ttl"] >= 1
    assert f"{judged.figures['values_past_ttl']} of them past their ttl" in judged.reason


def last_json(done: Done) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def damaged(history: History, user: str) -> Iterator[None]:
    """One value of the module's own online store flipped, for the time of a block."""
    before = kit.online_value(history.settings, PAYMENTS, FAILED, user).int64_val
    kit.overwrite(history.settings, PAYMENTS, FAILED, user, int64_val=before + 1)
    yield
    kit.overwrite(history.settings, PAYMENTS, FAILED, user, int64_val=before)


@pytest.mark.usefixtures("contract")
def test_the_command_says_that_all_is_equal(world: dict[str, str]) -> None:
    done = call_flows(world, "parity", "churn", "--json")
    assert done.returncode == 0, done.stderr
    answer = last_json(done)
    assert (answer["agrees"], answer["users"], answer["differences"], answer["next"]) == (True, 400, 0, "")
    assert len(answer["features"]) == kit.FEATURES
    assert {row["equal"] for row in answer["features"]} == {400}


@pytest.mark.usefixtures("contract")
def test_the_command_says_what_differs_and_what_to_do(world: dict[str, str], history: History, user: str) -> None:
    with damaged(history, user):
        as_json, for_people = (
            call_flows(world, "parity", "--json"),
            call_flows(world, "parity", "churn", "--sample", "400"),
        )
    assert (as_json.returncode, for_people.returncode) == (1, 1)
    (example,) = last_json(as_json)["examples"]
    assert (example["entity"], example["verdict"], example["online"]) == (user, "unequal", example["offline"] + 1)
    assert (example["offline_type"], example["online_type"]) == ("Int64", "Int64")
    assert example["offline_as_of"] == example["online_as_of"] == "2024-04-30 00:00:00+00:00"
    for done in (as_json, for_people):
        assert "python -m flows ingest" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    assert "1 of 7,600 values of 400 users differ" in " ".join(for_people.stdout.split())
    assert user in for_people.stdout
    assert "unequal" in for_people.stdout
    assert "past ttl" not in for_people.stdout


def test_a_mistake_is_one_sentence(world: dict[str, str]) -> None:
    done = call_flows(world, "parity", "chrun")
    assert done.returncode == 1
    assert "ConfigurationError: There is no use case 'chrun'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("contract")
def test_an_ingest_that_leaves_a_difference_reports_it_when_its_work_is_done(
    world: dict[str, str], history: History, user: str, tmp_path: Path
) -> None:
    (tmp_path / "labels_000").mkdir()
    shutil.copy(history.folder / "labels_000" / "labels.csv", tmp_path / "labels_000")
    words = ("ingest", str(tmp_path), "--as-of", str(history.plan.as_of(0)), "--json")
    with damaged(history, user):
        done = call_flows(world, *words)
    assert done.returncode == 1
    answer = last_json(done)
    assert answer["deliveries"][0]["folder"] == "labels_000"
    assert (answer["parity"]["wrong"], answer["parity"]["users"]) == (1, 400)
    assert "ingest --whole" in " ".join(done.stderr.split())
    again = call_flows(world, *words)
    assert again.returncode == 0, again.stderr
    assert last_json(again)["parity"]["agrees"] is True


@pytest.mark.usefixtures("contract")
def test_a_retrain_promotes_nothing_beside_a_store_that_differs(
    world: dict[str, str], history: History, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Estimator("churn_v2", regression, "a logistic regression")
    monkeypatch.setattr("flows.stages.retrain.load", lambda _: replace(CHURN, estimators={"default": quick}))
    with damaged(history, user):
        done = call_flows(world, "retrain", "churn", "--json")
    refused = last_json(done)["promotion"]
    assert refused["promoted"] is False
    assert [each["name"] for each in refused["criteria"] if not each["passed"]] == [CRITERION]
    assert len(refused["criteria"]) == 10


def test_the_differences_are_an_artifact_and_the_run_is_failed(
    prefect_world: dict[str, str], history: History, contract: FeatureContract, user: str
) -> None:
    with damaged(history, user):
        call_flows(prefect_world, "parity", "churn", "--json")
    run = newest(prefect_world, "flow_runs", sort="START_TIME_DESC", flows={"name": {"any_": ["parity"]}})
    assert run["state_name"] == "Failed"
    artifact = newest(prefect_world, "artifacts", sort="CREATED_DESC", artifacts={"key": {"any_": ["parity"]}})
    assert "1 of 7,600 values of 400 users differ" in artifact["description"]


def newest(world: dict[str, str], kind: str, **query: Any) -> Any:
    """From Prefect's API."""
    answer = httpx.post(f"{world['PREFECT_API_URL']}/{kind}/filter", json={"limit": 1, **query})
    return answer.raise_for_status().json()[0]
