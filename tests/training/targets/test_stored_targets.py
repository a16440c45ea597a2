"""A number and several classes with stored features: gate, data checks, parity, scores, answers and lineage."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.rows import dict_row
from pyarrow import parquet

from asof.errors import ConfigurationError, ExtractError, TrainingSetError
from asof.inference.served_model import ServedModel, load_verified
from asof.model_facts import Lineage
from asof.serving.prediction.predictor import Mark, Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings, export
from asof.targets import Binary, Multiclass, RegressionOutput
from asof.use_case import UseCase
from asof.use_cases import load
from tests.kits.use_cases.beside import installed, watchers, write_month
from training.audit.reproduction.reproduce import reproduce
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.promotion.promote import Promotion, promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, verified_version
from training.scoring.score import score_users

JANUARY, FEBRUARY = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)
USERS = 900


@dataclass(frozen=True)
class Watched:
    """Two months loaded, and both use cases' models in Production, trained on the older."""

    settings: Settings
    cases: dict[str, UseCase]
    versions: dict[str, ModelVersion]
    promotions: dict[str, Promotion]
    models: dict[str, ServedModel]
    months: list[dict[str, pd.DataFrame]]


@pytest.fixture(scope="module")
def watched(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watching")
    months = watchers(folder / "simulated", USERS)
    with installed(folder, "watching"):
        export(settings)
        own = settings.model_copy(update={"clock": FEBRUARY + timedelta(days=1)})
        from asof.use_cases import watching  # type: ignore[attr-defined]

        cases = {"hours": load("watching"), "levels": watching.LEVELS}
        _load(own, cases, folder, months)
        apply_features(own)
        materialise(own)
        made = {name: _promoted(own, case) for name, case in cases.items()}
        yield Watched(
            own,
            cases,
            versions={name: each[0] for name, each in made.items()},
            promotions={name: each[1] for name, each in made.items()},
            models={name: each[2] for name, each in made.items()},
            months=months,
        )


def _load(settings: Settings, cases: dict[str, UseCase], folder: Path, months: list[dict[str, pd.DataFrame]]) -> None:
    first, second = months
    levels = {"watch_levels": first["watch_levels"]}
    rest = {name: rows for name, rows in first.items() if name not in levels}
    for case, name, tables, as_of in (
        ("hours", "m0", rest, JANUARY),
        ("levels", "l0", levels, JANUARY),
        ("hours", "m1", second, FEBRUARY),
    ):
        take_snapshot(settings, cases[case].extract, write_month(folder / name, tables), as_of=as_of, known_at=FEBRUARY)


def _promoted(settings: Settings, case: UseCase) -> tuple[ModelVersion, Promotion, ServedModel]:
    trained = train(settings, case, build_training_set(settings, case, JANUARY))
    version = register(settings, evaluate(settings, trained))
    promotion = promote(settings, version, judge=judge_of(settings, case, version))
    with verified_version(settings, version) as verified:
        return version, promotion, load_verified(verified, case)


def answers(watched: Watched, name: str, users: list[str]) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        case, version = watched.cases[name], watched.versions[name]
        worker = Worker(watched.settings.model_copy(update={"lookup_timeout": 30.0}), case, bento="none:1")
        lineage = Lineage(case.model_name, version.version, version.run_id, "none:1")
        predictor = Predictor(watched.models[name], lineage, worker)
        await predictor.start()
        try:
            predictions = [await predictor.predict(case.request(user_id=user), Mark("8c5f2a")) for user in users]  # type: ignore[call-arg]
        finally:
            await predictor.close()
        return [each.answer.model_dump() for each in predictions]

    return asyncio.run(main())


@pytest.mark.parametrize("name", ["hours", "levels"])
def test_both_pass_the_whole_gate_with_data_checks_and_parity(watched: Watched, name: str) -> None:
    promotion = watched.promotions[name]
    assert promotion.promoted, [(each.name, each.reason) for each in promotion.criteria if not each.passed]
    names = {each.name for each in promotion.criteria}
    assert {"data checks without unacknowledged errors", "online store agrees with the offline store"} <= names


@pytest.mark.parametrize("name", ["hours", "levels"])
def test_scores_in_postgresql_and_parquet_are_the_answers_of_the_service(
    watched: Watched, name: str, tmp_path: Path
) -> None:
    case, users = watched.cases[name], watched.months[1]["watch_users"]["user_id"].head(20).tolist()
    tally = score_users(watched.settings, case).tally
    assert tally.answered == tally.scored > USERS  # also those who have left
    score_users(watched.settings, case, to=str(tmp_path))
    with psycopg.connect(watched.settings.conninfo(), row_factory=dict_row) as connection:
        query = "SELECT * FROM scores WHERE model = %s"
        stored = {row["entity"]: row for row in connection.execute(query, (case.model_name,))}
    (part,) = tmp_path.rglob("part-*.parquet")
    written = {row["entity"]: row for row in parquet.read_table(part).to_pylist()}
    for user, answer in zip(users, answers(watched, name, users), strict=True):
        row, plain = stored[user], written[user]
        assert (row["probability"], row["label"], row["threshold"], plain["threshold"]) == (None,) * 4
        if name == "hours":
            expected = answer["value"], answer["interval"]["low"], answer["interval"]["high"]
            assert (row["value"], row["low"], row["high"]) == pytest.approx(expected)
            assert (plain["value"], plain["low"], plain["high"]) == (row["value"], row["low"], row["high"])
        else:
            assert row["class_name"] == plain["class_name"] == answer["class"]
            assert row["probabilities"] == json.loads(plain["probabilities"]) == pytest.approx(answer["probabilities"])


def test_a_score_beyond_the_range_is_refused_by_its_code_and_the_others_stay(watched: Watched, tmp_path: Path) -> None:
    case = watched.cases["hours"]
    model = watched.models["hours"]
    output = model.facts.output
    assert isinstance(output, RegressionOutput)
    from training.scoring.judging import judge_chunk
    from training.scoring.reading import Chunk

    narrow = replace(model, facts=replace(model.facts, target=replace(output, maximum=30.0)))
    seen: list[Chunk] = []

    def taken(chunk: Chunk, *rest: Any) -> Any:
        seen.append(chunk)
        return judge_chunk(chunk, narrow, *rest[1:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.scoring.work.judge_chunk", taken)
        tally = score_users(watched.settings, case, to=str(tmp_path)).tally
    assert set(tally.refused) == {"prediction-out-of-range"}
    assert 0 < tally.answered < tally.scored


@pytest.mark.parametrize("name", ["hours", "levels"])
def test_a_version_comes_out_the_same_from_the_database(watched: Watched, name: str) -> None:
    result = reproduce(watched.settings, watched.cases[name], watched.versions[name])
    assert result.agrees, result.checks


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("hours", "plenty", "next_hours.*must be a finite number"),
        ("hours", "inf", "next_hours.*must be a finite number"),
        ("hours", "-1", "next_hours.*must be .*0"),
        ("levels", "vast", "level.*(little|must be)"),
    ],
)
def test_a_delivered_label_that_is_not_of_the_target_is_refused_and_nothing_is_loaded(
    watched: Watched, tmp_path: Path, name: str, label: str, message: str
) -> None:
    extract = watched.cases[name].extract
    users = watched.months[1]["watch_users"]["user_id"].head(2).tolist()
    rows = pd.DataFrame({"user_id": users, extract.label: ["20", label] if name == "hours" else ["some", label]})
    folder = write_month(tmp_path / "labels", {extract.labels.name: rows})
    with pytest.raises(ExtractError, match=message):
        take_snapshot(watched.settings, extract, folder, as_of=FEBRUARY)
    with psycopg.connect(watched.settings.conninfo()) as connection:
        query = f"SELECT count(*) FROM {extract.labels.name} WHERE as_of = %s"
        assert connection.execute(query, (FEBRUARY,)).fetchone() == (0,)


def test_the_order_of_classes_stays_where_a_month_lacks_one(watched: Watched) -> None:
    case = watched.cases["levels"]
    whole = build_training_set(watched.settings, case, JANUARY)
    frame = whole.frame[whole.frame["level"] != "some"].reset_index(drop=True)
    part = replace(whole, frame=frame)
    assert set(part.labels.tolist()) == {0, 2}
    with pytest.raises(TrainingSetError, match="0 complete rows of the class 'some': at least 3 are needed"):
        train(watched.settings, replace(case, model_name="lacking"), part)


def test_a_label_column_of_another_kind_than_the_target_is_refused(watched: Watched) -> None:
    with pytest.raises(ConfigurationError, match="next_hours must be a text with allowed"):
        replace(watched.cases["hours"], target=Multiclass(("a", "b")))
    with pytest.raises(ConfigurationError, match="next_hours is of kind number, and the target Binary takes a bool"):
        replace(watched.cases["hours"], target=Binary(("a", "b")))


def test_tables_of_scores_from_before_get_the_new_columns(watched: Watched) -> None:
    from training.scoring.postgres import create_tables

    with (
        psycopg.connect(watched.settings.conninfo(), autocommit=True) as connection,
        connection.transaction() as undone,
    ):
        connection.execute("DROP VIEW scores; TRUNCATE scored_users, scoring_runs")
        connection.execute(
            "ALTER TABLE scored_users DROP COLUMN value, DROP COLUMN low, DROP COLUMN high, DROP COLUMN class_name, "
            "DROP COLUMN probabilities"
        )
        connection.execute(
            "CREATE VIEW scores AS SELECT scoring_run, entity, probability, label, code, detail, flags, moments, "
            "model, version, run_id, fingerprint, threshold, as_of, known_at, scored_at "
            "FROM scored_users JOIN scoring_runs USING (scoring_run)"
        )
        create_tables(connection)
        columns = [each.name for each in connection.execute("SELECT * FROM scores LIMIT 0").description or ()]
        assert columns[-5:] == ["class_name", "probabilities", "value", "low", "high"]
        raise psycopg.Rollback(undone)
