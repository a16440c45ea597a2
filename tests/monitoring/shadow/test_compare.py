"""A challenger beside the champion on a ledger whose truth is known, for each kind of target."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from scipy import stats
from typer.testing import CliRunner

from asof.errors import DataError
from asof.ledger.reading.shadow import Span, tally
from asof.settings import Settings
from asof.use_case import GateBounds, UseCase
from asof.use_cases import load
from flows.__main__ import app
from flows.stages.monitoring.shadow import missing
from monitoring.records.figure import Subject, Verdict
from monitoring.records.runs import last_run, latest_figures
from monitoring.shadow.compare import EVER, compare, figures
from tests.kits.ledger.answers import empty, ledger, request_of
from training.metrics.classification import auc_difference
from training.metrics.statistics import psi

CANCER, WINE, DIABETES = load("breast_cancer"), load("wine"), load("diabetes")
JUNE = datetime(2024, 6, 3, tzinfo=UTC)
N = 600
MODEL = """
INSERT INTO ledger.models (id, use_case, name, version, run_id, bento, fingerprint, features, views)
VALUES (%s, %s, %s, %s, %s, 'b', 'f', %s, '{}')"""
ANSWER = """
INSERT INTO ledger.predictions (at, request, item, model, status, score, scores, decision, floats, texts)
VALUES (%s, %s, %s, %s, 200, %s, %s, %s, %s, %s)"""
SCORE = """
INSERT INTO ledger.shadow_scores (at, request, item, model, score, scores, decision, code)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
OUTCOME = """
INSERT INTO ledger.outcomes (use_case, event, request, item, outcome, observed_at, source)
VALUES (%s, %s, %s, %s, %s, %s, 'api')"""
FEATURES = [
    {"name": "size", "type": "Float64", "view": None, "kind": "floats", "place": 1},
    {"name": "noise", "type": "Float64", "view": None, "kind": "floats", "place": 2},
    {"name": "colour", "type": "String", "view": None, "kind": "texts", "place": 1},
]
CHAMPION, CHALLENGER, OLDER = 1, 2, 3


@pytest.fixture(scope="module")
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        yield settings


@dataclass(frozen=True)
class Made:
    """What is in the ledger: n answers of the champion, each with the challenger's prediction."""

    size: Any
    truth: Any
    champion: Any
    challenger: Any
    ids: list[tuple[Any, ...]]


def made(own: Settings, use_case: UseCase, champion: Any, challenger: Any, size: Any, truth: Any) -> Made:
    """In batches of two items, so that items matter."""
    ids: list[tuple[Any, ...]] = []
    with psycopg.connect(own.ledger_conninfo()) as connection:
        for number, version in ((CHAMPION, "4"), (CHALLENGER, "5"), (OLDER, "3")):
            values = (number, use_case.name, use_case.model_name, version, f"run-{version}", json.dumps(FEATURES))
            connection.execute(MODEL, values)
        for n in range(len(size)):
            at = JUNE + timedelta(minutes=n // 2)
            request = request_of(at) if n % 2 == 0 else ids[-1][1]
            ids.append((at, request, n % 2))
            floats, texts = [float(size[n]), float(n % 7)], ["red" if n % 3 else "blue"]
            connection.execute(ANSWER, (*ids[-1], CHAMPION, *columns(champion[n]), floats, texts))
            connection.execute(SCORE, (*ids[-1], CHALLENGER, *columns(challenger[n]), None))
    return Made(size, truth, champion, challenger, ids)


def columns(prediction: Any) -> tuple[Any, ...]:
    """Score, scores and decision; a number above 1 has no decision."""
    if np.ndim(prediction):
        return None, [float(each) for each in prediction], int(np.argmax(prediction))
    return float(prediction), None, None if abs(prediction) > 1 else int(prediction >= 0.5)


@pytest.fixture
def cancer(own: Settings) -> Made:
    """The challenger follows the truth; it differs from the champion where `size` is large."""
    empty_all(own)
    draw = np.random.default_rng(3)
    size, truth = draw.random(N), draw.random(N) < 0.4
    champion = np.clip(0.35 + 0.2 * truth + draw.normal(0, 0.2, N), 0.01, 0.99)
    challenger = np.clip(champion + np.where(size > 0.9, 0.3 * (truth - 0.5), 0.02 * (truth - 0.5)), 0.01, 0.99)
    return made(own, CANCER, champion, challenger, size, truth)


def empty_all(own: Settings) -> None:
    empty(own)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("TRUNCATE ledger.shadow_scores")


def report(own: Settings, use_case: UseCase, made: Made, count: int) -> None:
    with psycopg.connect(own.ledger_conninfo()) as connection:
        for (at, request, item), outcome in list(zip(made.ids, made.truth.tolist(), strict=True))[:count]:
            values = (use_case.name, uuid4(), request, item, json.dumps(outcome), at + timedelta(days=1))
            connection.execute(OUTCOME, values)


def test_decisions_and_differences_are_those_of_an_oracle(own: Settings, cancer: Made) -> None:
    found = compare(own, CANCER, since=EVER)
    assert (found.challenger, found.champion, found.others) == ("5", "4", ())
    differs = (cancer.champion >= 0.5) != (cancer.challenger >= 0.5)
    assert (found.tally.scored, found.tally.failed, found.tally.differing) == (N, 0, differs.sum())
    interval = stats.binomtest(int(differs.sum()), N).proportion_ci(method="wilson")
    assert found.differing
    assert (found.differing.low, found.differing.high) == pytest.approx((interval.low, interval.high))
    apart = np.abs(cancer.champion - cancer.challenger)
    assert found.differences.mean == pytest.approx(apart.mean())
    assert found.differences.quantiles == pytest.approx(np.quantile(apart, [0.5, 0.9, 0.99, 1.0]))
    assert found.differences.psi == pytest.approx(psi(cancer.champion, cancer.challenger, levels=False).size)
    assert found.differences.shift
    assert found.differences.shift.value == pytest.approx((cancer.challenger - cancer.champion).mean())


def test_answers_to_what_if_requests_are_not_compared(own: Settings, cancer: Made) -> None:
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE ledger.predictions SET verdicts = 'PR' WHERE item = 0")
    found = compare(own, CANCER, since=EVER)
    assert found.tally.scored == N // 2 == len(cancer.ids) // 2


def test_the_feature_where_they_differ_is_named_with_its_bin(own: Settings, cancer: Made) -> None:
    first, *others = compare(own, CANCER, since=EVER).where
    assert first.feature == "size"
    assert first.bin.startswith("above 0.9") or first.bin.startswith("above 0.8")
    assert first.explained > 0.5 > max(each.explained for each in others) * 5
    assert first.rows == N // 10


def test_outcomes_tell_by_how_much_the_challenger_is_better(own: Settings, cancer: Made) -> None:
    report(own, CANCER, cancer, 400)
    outcomes = compare(own, CANCER, since=EVER).outcomes
    assert (outcomes.answers, outcomes.mature) == (N, 400)
    wanted = auc_difference(cancer.truth[:400].astype(int), cancer.challenger[:400], cancer.champion[:400])
    assert outcomes.gains["auc"].value == pytest.approx(wanted.value)
    assert outcomes.gains["auc"].low == pytest.approx(wanted.low)
    (better, *_) = outcomes.criteria
    assert better.passed == (wanted.low > 0)


def test_with_few_outcomes_there_is_no_gain_but_their_number(own: Settings, cancer: Made) -> None:
    report(own, CANCER, cancer, 12)
    outcomes = compare(own, CANCER, since=EVER).outcomes
    assert (outcomes.mature, outcomes.gains) == (12, {})
    assert "held out" in outcomes.criteria[0].reason


def test_failures_count_and_are_an_alarm_and_other_versions_are_named(own: Settings, cancer: Made) -> None:
    older = JUNE - timedelta(days=1)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        for n, (model, code) in enumerate(
            [(CHAMPION, "failed"), (CHAMPION, "crashed"), (CHAMPION, "erased"), (OLDER, None)]
        ):
            key = (older + timedelta(minutes=n), request_of(older), None)
            connection.execute(ANSWER, (*key, model, 0.4, None, 0, [0.5, 1.0], ["red"]))
            connection.execute(SCORE, (*key, CHALLENGER, None if code else 0.6, None, None if code else 1, code))
    found = compare(own, CANCER, since=EVER)
    assert (found.tally.scored, found.tally.failed, found.others) == (N, 2, ("3",))
    saved = {(each.metric, each.about): each for each in figures(found)}
    assert (saved["failed", ""].value, saved["failed", ""].verdict) == (2 / (N + 2), Verdict.ALARM)
    assert saved["decisions_differ", ""].n == N
    assert all(each.version == "5" and each.detail["champion"] == "4" for each in saved.values())
    assert next(figures(found)).as_of == datetime(2024, 6, 1, tzinfo=UTC)


def test_the_command_saves_a_run_and_says_what_the_gate_lacks(
    own: Settings, cancer: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(own, CANCER, cancer, 400)
    for name, value in {**own.environment(), "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(app, ["shadow", "breast_cancer"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("Version 5 beside version 4: 600 answers scored, ")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    document = json.loads(CliRunner().invoke(app, ["shadow", "breast_cancer", "--json"]).stdout)
    assert (document["tally"]["scored"], document["outcomes"]["mature"], document["lacks"]) == (N, 400, "")
    run = last_run(own, CANCER.name, "shadow")
    assert run
    assert (run.answers, run.detail) == (N, {"challenger": "5", "champion": "4"})
    saved = {each.metric for each in latest_figures(own, CANCER.name, [Subject.SHADOW])}
    assert {"decisions_differ", "score_difference", "psi", "auc_gain", "difference_explained", "failed"} <= saved
    asks = replace(CANCER, gate=GateBounds(min_shadow_answers=1000, max_shadow_differing=0.01))
    lacks = missing(compare(own, CANCER, since=EVER), asks)
    assert lacks == "400 more answers, at most 1.00% other decisions"


def test_classes_differ_by_total_variation_and_numbers_have_no_decisions(own: Settings) -> None:
    draw = np.random.default_rng(5)
    size = draw.random(60)
    for use_case, theirs, ours in (
        (WINE, draw.dirichlet([2, 2, 2], 60), draw.dirichlet([2, 2, 2], 60)),
        (DIABETES, draw.normal(150, 20, 60), draw.normal(150, 20, 60)),
    ):
        empty_all(own)
        made(own, use_case, theirs, ours, size, np.zeros(60))
        found = compare(own, use_case, since=EVER)
        if use_case is WINE:
            assert found.differences.mean == pytest.approx(np.abs(theirs - ours).sum(axis=1).mean() / 2)
            assert found.tally.differing == (theirs.argmax(axis=1) != ours.argmax(axis=1)).sum()
            assert found.differences.shift is None
        else:
            assert found.differing is None
            assert "decisions_differ" not in {each.metric for each in figures(found)}
        assert {each.verdict for each in figures(found) if each.metric == "psi"} == {Verdict.TOO_FEW}


def test_a_span_and_a_version_choose_answers_and_none_is_an_error(own: Settings, cancer: Made) -> None:
    hour = timedelta(hours=1)
    found = compare(own, CANCER, "5", since=JUNE, until=JUNE + hour)
    assert found.tally.scored == 120
    span = Span(CANCER.name, JUNE + hour, JUNE + 2 * hour)
    assert tally(own, span, "5", "4").scored == 120
    assert tally(own, span, "5", "3").scored == 0
    with pytest.raises(DataError, match="Version 9 of breast_cancer"):
        compare(own, CANCER, "9", since=EVER)
    with pytest.raises(DataError, match="ASOF_SHADOW=newest"):
        compare(own, WINE, since=EVER)
