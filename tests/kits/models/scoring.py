"""For tests of scoring: the service's outcome for each user, and runs in processes that are killed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.rows import dict_row
from pyarrow import parquet

from asof.features.feature_contract import FeatureContract
from asof.inference.served_model import ServedModel, load_verified
from asof.model_facts import Lineage
from asof.serving.prediction.predictor import Mark, Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings
from asof.use_cases import load
from simulator import SimulationPlan, simulate
from tests.kits.data import parity as parity_kit
from tests.kits.machine import kill
from tests.kits.machine.kill import Kill, steps_until_exit, watch
from tests.kits.service import serving as serving_kit
from training.release.registry.versions import ModelVersion, verified_version
from training.scoring import parquet as parquet_writer
from training.scoring.judging import Outcomes, judge_chunk
from training.scoring.postgres import PostgresRun, PostgresWriter
from training.scoring.reading import Chunk
from training.scoring.score import Scoring, score_users

__all__ = ["Kill", "steps_until_exit"]

CHURN = load("churn")
CHUNK = 250
"""A third of the users."""
AT_ONCE = 50
"""Requests in flight: fewer than the service takes."""


@dataclass(frozen=True)
class Outcome:
    """The outcome for one user, of the service or of a row of scores."""

    probability: float | None = None
    label: bool | None = None
    flags: Any = None
    moments: Any = None
    code: str | None = None
    detail: str | None = None


MAY, AS_OF = datetime(2024, 5, 31, tzinfo=UTC), datetime(2024, 6, 15, tzinfo=UTC)
"""At AS_OF a row of May is 15 days old, one of April 46: past the 45 that most views allow."""
KINDS = ("no subscription", "no payments", "no plan", "both old")
NEWCOMER = "9999-NEWCO"
"""Known to the table of users only."""
WITHOUT_PLAN = """
INSERT INTO subscriptions SELECT (jsonb_populate_record(newest, jsonb_build_object(
    'plan_stream_tv', NULL, 'created_at', clock_timestamp()))).*
FROM subscriptions AS newest WHERE user_id = %s ORDER BY as_of DESC, created_at DESC LIMIT 1"""


@dataclass(frozen=True)
class Scene:
    """Five months of users of every kind, and a version for each feature service."""

    settings: Settings
    users: Mapping[str, str]
    versions: Mapping[str, ModelVersion]

    def score(self, service: str = "churn_v2", **given: Any) -> Scoring:
        asked = {"version": self.versions[service].version, "as_of": AS_OF, "range_users": CHUNK} | given
        return score_users(self.settings, CHURN, **asked)

    def everybody(self) -> list[str]:
        with psycopg.connect(self.settings.conninfo()) as connection:
            return [row[0] for row in connection.execute("SELECT DISTINCT user_id FROM users ORDER BY user_id")]


def make_scene(settings: Settings, plan: SimulationPlan, folder: Path) -> Scene:
    """Loads a May beside the months that are there, in which one user of each kind lacks something."""
    simulate(replace(plan, late_share=0, correction_share=0), folder / "whole")
    april = folder / "whole" / "month_003"
    with_internet = pd.read_csv(april / "subscriptions.csv").query("net_service != 'No'")["user_id"]
    users = dict(zip(KINDS, with_internet[::50].tolist(), strict=False))
    edits = {
        "subscriptions": _without(users["no subscription"], users["both old"]),
        "payments_agg_90d": _without(users["no payments"], users["both old"]),
        "usage_agg_30d": _without(users["both old"]),
        "support_agg_90d": _without(users["both old"]),
        "users": lambda rows: pd.concat([rows, rows[:1].assign(user_id=NEWCOMER)]),
    }
    parity_kit.deliver(settings, april, folder / "delivered", MAY, **edits)
    with psycopg.connect(settings.conninfo()) as connection:  # no extract may be so
        connection.execute(WITHOUT_PLAN, (users["no plan"],))
    versions = {
        service: serving_kit.register_small_model(settings, serving_kit.registered_contract(settings, service))[0]
        for service in ("churn_v1", "churn_v2")
    }
    return Scene(settings, users, versions)


def _without(*users: str) -> parity_kit.Edit:
    return lambda rows: rows[~rows["user_id"].isin(users)]


def served(settings: Settings, version: ModelVersion) -> ServedModel:
    with verified_version(settings, version) as verified:
        return load_verified(verified, CHURN)


def online(settings: Settings, version: ModelVersion, users: Sequence[str], now: datetime) -> dict[str, Outcome]:
    """The outcome of POST /predict's predictor for each user, with the clock at `now`."""
    own = settings.model_copy(update={"clock": now, "lookup_timeout": 30.0})
    lineage = Lineage(version.name, version.version, version.run_id, "none:1")

    async def main() -> dict[str, Outcome]:
        predictor = Predictor(served(settings, version), lineage, Worker(own, CHURN, bento="none:1"))
        await predictor.start()
        try:
            outcomes: list[Outcome] = []
            for start in range(0, len(users), AT_ONCE):
                some = users[start : start + AT_ONCE]
                outcomes += await asyncio.gather(*(_asked(predictor, user) for user in some))
            return dict(zip(users, outcomes, strict=True))
        finally:
            await predictor.close()

    return asyncio.run(main())


async def _asked(predictor: Predictor, user: str) -> Outcome:
    try:
        prediction = await predictor.predict(CHURN.request(user_id=user), Mark("8c5f2a"))
    except Exception as error:
        return Outcome(code=error.code, detail=str(error))
    answer, evidence = prediction.answer.model_dump(), prediction.evidence
    return Outcome(answer["probability"], answer["churn"], evidence["flags"], evidence["as_of"])


def kept(settings: Settings) -> list[dict[str, Any]]:
    """Every row of the view `scores`, by run and user."""
    with psycopg.connect(settings.conninfo(), row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM scores ORDER BY scoring_run, entity").fetchall()


def runs(settings: Settings) -> list[dict[str, Any]]:
    """Every row of the table `scoring_runs`."""
    with psycopg.connect(settings.conninfo(), row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM scoring_runs ORDER BY scoring_run").fetchall()


def of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
    """The outcomes in rows of scores, by user."""
    return {
        row["entity"]: Outcome(
            row["probability"],
            row["label"],
            row["flags"],
            None if row["code"] else {view: datetime.fromisoformat(moment) for view, moment in row["moments"].items()},
            row["code"],
            row["detail"],
        )
        for row in rows
    }


def parts(folder: Path) -> list[list[dict[str, Any]]]:
    """The rows of each part of the one run in the folder, in order, JSON read."""
    tables = [parquet.read_table(part).to_pylist() for part in sorted(folder.glob("*/part-*.parquet"))]
    return [
        [row | {name: row[name] and json.loads(row[name]) for name in ("flags", "moments")} for row in rows]
        for rows in tables
    ]


def timeless(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what differs between two runs of the same: when each chunk was scored, and the run's number."""
    return [{name: value for name, value in row.items() if name not in ("scored_at", "scoring_run")} for row in rows]


STEPS = tuple(
    (owner, name, name)
    for owner, name in (
        (PostgresRun, "begin"),
        (PostgresWriter, "_finish"),
        (PostgresRun, "advance"),
        (parquet_writer, "rename_durably"),
    )
)
"""Before and after the plan is recorded; between a range's rows and its tally, before its commit, before and after the
run's tally; and before and after each rename."""


def perform(settings: Settings, arguments: Mapping[str, Any], pipe: Connection, at: Kill | None) -> None:
    """The child process: scores, and sends each step on the pipe before it takes it."""
    watch(pipe, at, STEPS)
    score_users(settings, CHURN, range_users=CHUNK, **arguments, progress=pipe.send)
    pipe.send("end")


begun = partial(kill.begun, work=perform)
"""A child process that scores with these arguments, and the pipe with its steps."""


def watch_inputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Every user's feature values, recorded as they are read from now on."""
    seen: dict[str, dict[str, Any]] = {}

    def watched(chunk: Chunk, *args: Any) -> Outcomes:
        rows = (chunk.columns.row(number) for number in range(len(chunk)))
        values = ({each.name: value for each, value in zip(row.features, row.values, strict=True)} for row in rows)
        seen.update(zip(chunk.entities.to_pylist(), values, strict=True))
        return judge_chunk(chunk, *args)

    monkeypatch.setattr("training.scoring.work.judge_chunk", watched)
    return seen


def by_user(rows: Any, contract: FeatureContract) -> dict[str, dict[str, Any]]:
    """The rows of a training set's join in the same form."""
    return {row[contract.entity]: {name: row[name] for name in contract.names} for row in rows.to_pylist()}
