"""Every user as of a moment: the service's own verdicts, each user once, and nothing written where it cannot begin."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import parquet
from pydantic import TypeAdapter

from asof.errors import ConfigurationError, FeatureContractMismatch, ModelError, ScoringError, TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.use_cases import load
from tests.kits.data.history import History
from tests.kits.machine.terminal import call_flows
from tests.kits.models import scoring as kit
from tests.kits.models.scoring import AS_OF, CHURN, MAY, NEWCOMER, Scene, of, timeless
from tests.kits.service import serving as serving_kit
from training.features.datasets.point_in_time import joined_rows
from training.features.datasets.point_in_time_sql import JoinStrategy
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.scoring.parquet import MANIFEST, RUN
from training.scoring.run import Run
from training.scoring.score import score_users
from training.tracking.client import open_tracking

MARCH = datetime(2024, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize("service", ["churn_v1", "churn_v2"])
def test_each_user_gets_what_the_service_would_answer(copy_of_scene: Scene, service: str) -> None:
    scene = copy_of_scene
    materialise(scene.settings, as_of=AS_OF)
    users = scene.everybody()
    expected = kit.online(scene.settings, scene.versions[service], users, AS_OF)
    done = scene.score(service)
    rows = kit.kept(scene.settings)
    assert [row["entity"] for row in rows] == users
    assert of(rows) == expected
    counts = Counter(each.code for each in expected.values())
    answered = counts.pop(None)
    assert set(counts) == {"missing-features", "stale-features"} | (
        {"entity-not-found"} if service == "churn_v1" else set()
    )
    flagged = sum(bool(each.flags) for each in expected.values())
    assert flagged > 0
    assert len({each.probability for each in expected.values()}) > 100
    assert done.tally == replace(
        done.tally, scored=len(users), answered=answered, flagged=flagged, refused=dict(counts)
    )


def test_each_kind_of_user_has_its_own_outcome(copy_of_scene: Scene) -> None:
    users = copy_of_scene.users
    copy_of_scene.score()
    outcomes = of(kit.kept(copy_of_scene.settings))
    assert outcomes[users["no subscription"]].code == "stale-features"
    assert [flag["feature"] for flag in outcomes[users["no payments"]].flags] == ["failed_payments_90d"]
    assert outcomes[users["no plan"]].code == "missing-features"
    assert "plan_stream_tv is null" in (outcomes[users["no plan"]].detail or "")
    assert outcomes[users["both old"]].code == "stale-features"
    assert outcomes[NEWCOMER].code == "missing-features"


def test_a_row_names_its_model_and_moment(copy_of_scene: Scene) -> None:
    version, known_at = copy_of_scene.versions["churn_v2"], datetime.now(UTC)
    copy_of_scene.score(known_at=known_at)
    (run,), rows = kit.runs(copy_of_scene.settings), kit.kept(copy_of_scene.settings)
    facts = {
        "model": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "fingerprint": version.facts.fingerprint,
        "threshold": version.facts.threshold,
        "as_of": AS_OF,
        "known_at": known_at,
    }
    assert all(facts.items() <= row.items() for row in (run, *rows))
    assert run["state"] == "complete"
    assert run["scored"] == len(rows)
    assert "@" in run["who"]
    assert len(run["git_commit"].removesuffix("-dirty")) == 40


def test_the_newest_snapshot_and_the_version_in_production_are_taken_where_none_is_named(copy_of_scene: Scene) -> None:
    with pytest.raises(ModelError, match="No version of streamflow_churn is in Production"):
        copy_of_scene.score(version=None)
    number = copy_of_scene.versions["churn_v1"].version
    client = open_tracking(copy_of_scene.settings)
    client.set_registered_model_alias("streamflow_churn", "production", number)
    try:
        done = score_users(copy_of_scene.settings, CHURN)
    finally:
        client.delete_registered_model_alias("streamflow_churn", "production")
    assert (done.run.version, done.run.as_of) == (number, MAY)


def test_a_run_that_is_complete_has_nothing_to_do(copy_of_scene: Scene) -> None:
    first = copy_of_scene.score()
    before = kit.kept(copy_of_scene.settings), kit.runs(copy_of_scene.settings)
    again = copy_of_scene.score()
    assert (first.new, again.new) == (len(before[0]), 0)
    assert again.tally == first.tally
    assert (kit.kept(copy_of_scene.settings), kit.runs(copy_of_scene.settings)) == before


@pytest.mark.parametrize(
    "other", [lambda: {"service": "churn_v1"}, lambda: {"as_of": MAY}, lambda: {"known_at": datetime.now(UTC)}]
)
def test_another_version_or_moment_is_a_run_of_its_own_beside_the_first(
    copy_of_scene: Scene, other: Callable[[], dict[str, Any]]
) -> None:
    copy_of_scene.score()
    first = kit.kept(copy_of_scene.settings)
    copy_of_scene.score(**other())
    both = kit.kept(copy_of_scene.settings)
    assert both[: len(first)] == first
    assert len(both) == 2 * len(first)
    assert [run["state"] for run in kit.runs(copy_of_scene.settings)] == ["complete", "complete"]


@pytest.mark.parametrize("to", ["postgres", "parquet"])
def test_a_number_that_a_new_registry_gives_once_more_is_another_run(
    copy_of_scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, to: str
) -> None:
    place = to if to == "postgres" else str(tmp_path)
    version = copy_of_scene.versions["churn_v2"]
    first = copy_of_scene.score(to=place)
    other = replace(copy_of_scene.versions["churn_v1"], version=version.version)
    served = kit.served(copy_of_scene.settings, copy_of_scene.versions["churn_v1"])
    monkeypatch.setattr("training.scoring.score.model_version", lambda *_: other)
    monkeypatch.setattr("training.scoring.work.verified_version", lambda *_: nullcontext())
    monkeypatch.setattr("training.scoring.work.load_verified", lambda *_: served)
    second = copy_of_scene.score(to=place)
    assert (first.run.version, first.new) == (second.run.version, second.new)
    assert first.run.run_id != second.run.run_id


def test_the_features_are_those_of_a_training_set_of_the_same_moments(
    copy_of_scene: Scene, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late rows and corrections are seen when they were known, and not before."""
    seen = kit.watch_inputs(monkeypatch)
    moments: list[Any] = []
    for known_at in (MARCH + timedelta(days=32), MARCH + timedelta(days=60)):
        seen.clear()
        copy_of_scene.score(as_of=MARCH, known_at=known_at)
        joined = joined_rows(
            copy_of_scene.settings, CHURN.extract, MARCH, known_at=known_at, feature_service="churn_v2"
        )
        expected = kit.by_user(joined.rows, joined.contract)
        assert {user: seen[user] for user in expected} == expected  # who has left has no label any more
        moments.append(
            [row["moments"] for row in kit.kept(copy_of_scene.settings)[-len(copy_of_scene.everybody()) + 1 :]]
        )
    assert moments[0] != moments[1]


def test_every_strategy_of_the_join_gives_the_same_rows(copy_of_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = []
    for strategy in JoinStrategy:
        monkeypatch.setattr(
            "training.features.datasets.point_in_time.chosen_strategy", lambda *_, chosen=strategy: chosen
        )
        moments.append(datetime.now(UTC))
        copy_of_scene.score(known_at=moments[-1])
    by_key, by_moment, by_set = (
        [row | {"known_at": None} for row in timeless(kit.kept(copy_of_scene.settings)) if row["known_at"] == at]
        for at in moments
    )
    assert by_key == by_moment == by_set != []


def test_a_version_that_is_not_compiled_scores_the_same(copy_of_scene: Scene) -> None:
    settings = copy_of_scene.settings
    contract = serving_kit.registered_contract(settings)
    plain, _ = serving_kit.register_small_model(settings, contract, compiled=False)
    copy_of_scene.score()
    copy_of_scene.score(version=plain.version)
    rows = kit.kept(settings)
    half = len(rows) // 2
    pairs = list(zip(rows[:half], rows[half:], strict=True))
    assert all(row["probability"] == pytest.approx(other["probability"], abs=1e-6) for row, other in pairs)
    assert [row["code"] for row in rows[:half]] == [row["code"] for row in rows[half:]]


@pytest.mark.parametrize("to", ["postgres", "parquet"])
def test_a_run_of_a_named_knowledge_is_not_taken_for_what_is_known_now(
    copy_of_scene: Scene, tmp_path: Path, to: str
) -> None:
    place = to if to == "postgres" else str(tmp_path)
    named = copy_of_scene.score(known_at=datetime.now(UTC), to=place)
    newest = copy_of_scene.score(to=place)
    assert newest.new == named.new > 0
    assert newest.run.known_at > named.run.known_at
    assert copy_of_scene.score(to=place).run == newest.run


def test_parquet_holds_the_same_rows_and_a_manifest_of_its_parts(copy_of_scene: Scene, tmp_path: Path) -> None:
    known_at = datetime.now(UTC)
    copy_of_scene.score(known_at=known_at)
    done = copy_of_scene.score(known_at=known_at, to=str(tmp_path))
    rows = [row for part in kit.parts(tmp_path) for row in part]
    assert timeless(rows) == [
        {name: row[name] for name in timeless(rows)[0]} for row in timeless(kit.kept(copy_of_scene.settings))
    ]
    (folder,) = (each for each in tmp_path.iterdir() if each.is_dir())
    manifest = json.loads((folder / MANIFEST).read_text())
    for part in manifest["parts"]:
        assert hashlib.sha256((folder / part["name"]).read_bytes()).hexdigest() == part["sha256"]
    assert [part["rows"] for part in manifest["parts"]] == [kit.CHUNK, kit.CHUNK, len(rows) - 2 * kit.CHUNK]
    assert manifest["tally"]["scored"] == len(rows)
    inside = parquet.read_schema(folder / "part-00000.parquet").metadata[RUN]
    assert TypeAdapter(Run).validate_json(inside) == TypeAdapter(Run).validate_python(manifest["run"]) == done.run


def test_parquet_that_is_complete_has_nothing_to_do_and_another_moment_lies_beside_it(
    copy_of_scene: Scene, tmp_path: Path
) -> None:
    first = copy_of_scene.score(to=str(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    again = copy_of_scene.score(to=str(tmp_path))
    assert (again.run, again.tally, again.new) == (first.run, first.tally, 0)
    copy_of_scene.score(as_of=MAY, to=str(tmp_path))
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.glob(f"*/{MANIFEST}"))) == 2


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"version": "77"}, ModelError, "no version '77'"),
        ({"version": None}, ModelError, "in Production: run `python -m flows retrain churn`"),
        ({"as_of": datetime(2023, 1, 1, tzinfo=UTC)}, ScoringError, "no snapshot of users up to 2023.*ingest"),
        ({"known_at": datetime(2023, 1, 1, tzinfo=UTC)}, ScoringError, "no snapshot of users .* as known at 2023"),
        ({"known_at": MAY}, ScoringError, "lies before as_of"),
        ({"known_at": datetime(2222, 1, 1, tzinfo=UTC)}, ScoringError, "lies in the future"),
        ({"to": "pyproject.toml"}, ScoringError, "is a file"),
    ],
)
def test_what_cannot_begin_says_why_and_writes_nothing(
    copy_of_scene: Scene, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        copy_of_scene.score(**given)
    with psycopg.connect(copy_of_scene.settings.conninfo()) as connection:
        row = connection.execute("SELECT to_regclass('public.scores'), to_regclass('public.scoring_runs')").fetchone()
    assert row == (None, None)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c: replace(c, features=c.features[:-1]), FeatureContractMismatch, "only the registry has"),
        (lambda c: replace(c, feature_service="churn_v9"), TrainingSetError, "churn_v9"),
        (
            lambda c: replace(c, definitions={**c.definitions, "users_fv": "table others"}),
            FeatureContractMismatch,
            "users_fv is defined otherwise .*- table others",
        ),
    ],
)
def test_features_that_are_not_the_models_are_refused(
    copy_of_scene: Scene,
    change: Callable[[FeatureContract], FeatureContract],
    error: type[Exception],
    words: str,
) -> None:
    settings = copy_of_scene.settings
    version, _ = serving_kit.register_small_model(settings, change(serving_kit.registered_contract(settings)))
    with pytest.raises(error, match=words):
        copy_of_scene.score(version=version.version)


def test_a_use_case_whose_features_come_in_the_request_has_no_users_to_score(copy_of_scene: Scene) -> None:
    with pytest.raises(ConfigurationError, match="takes its features in the request"):
        score_users(copy_of_scene.settings, load("breast_cancer"))


def test_the_command_scores_and_reports_the_outcomes(scene: Scene, world: dict[str, str], tmp_path: Path) -> None:
    apply_features(scene.settings)
    words = ["score", "churn", "--as-of", "2024-06-15", "--version", scene.versions["churn_v2"].version]
    words += ["--to", str(tmp_path / "out"), "--json"]
    outputs = []
    for _ in range(2):
        done = call_flows(world, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    first, again = outputs
    assert first["new"] == first["users"] == sum(each["users"] for each in first["outcomes"]) == len(scene.everybody())
    assert (again["new"], again["done"]) == (0, "nothing to do: this run is complete")
    assert len(list((tmp_path / "out").glob("*/part-*.parquet"))) == 1
