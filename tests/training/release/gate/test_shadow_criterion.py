"""The gate may ask for a trial in shadow: enough answers, no failure, and few other decisions."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from asof.errors import ConfigurationError
from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import GateBounds
from asof.use_cases import load
from tests.kits.ledger.answers import MadeAnswer, add_answers, ledger
from tests.kits.service.serving import facts_of
from training.release.gate.shadow_criterion import tried_in_shadow
from training.release.registry.versions import ModelVersion
from training.targets.rules import Criterion

CHURN = load("churn")
NAME = "model_churn"
JUNE = datetime(2024, 6, 3, tzinfo=UTC)
SCORE = """
INSERT INTO ledger.shadow_scores (at, request, model, score, decision, entity, code)
VALUES (%s, %s, 77, %s, %s, 'u', %s)"""
MODEL = """
INSERT INTO ledger.models (id, use_case, name, version, run_id, bento, fingerprint, features, views)
VALUES (77, 'churn', %s, '5', 'r', 'b', 'f', '[]', '{}')"""


@pytest.fixture
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """200 answers of version 4, at each of which version 5 scored; 3 of its decisions are others."""
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            connection.execute(MODEL.encode(), [NAME])
            answers = [MadeAnswer(JUNE + timedelta(minutes=n), "u", JUNE, version="4", score=0.2) for n in range(200)]
            for n, (answer, request) in enumerate(zip(answers, add_answers(connection, *answers), strict=True)):
                connection.execute(SCORE, (answer.at, request, 0.7 if n < 3 else 0.3, int(n < 3), None))
        yield settings


def version(number: str) -> ModelVersion:
    return ModelVersion(NAME, number, f"run-{number}", facts_of(FeatureContract("", "user_id", ())), metrics={})


def tried(own: Settings, champion: str = "4", **bounds: float) -> Criterion:
    case = replace(CHURN, gate=GateBounds(**bounds))  # type: ignore[arg-type]
    return tried_in_shadow(own, case, version("5"), version(champion))


def test_enough_answers_and_few_other_decisions_pass(own: Settings) -> None:
    found = tried(own, min_shadow_answers=200, max_shadow_differing=0.05)
    assert found.passed
    assert (found.figures["answers"], found.figures["differing"], found.figures["failures"]) == (200, 3, 0)
    assert found.figures["differing_high"] == pytest.approx(0.0432, abs=0.001)


@pytest.mark.parametrize(
    ("champion", "bounds", "because"),
    [
        ("4", {"min_shadow_answers": 201}, "at least 201 needed"),
        ("3", {"min_shadow_answers": 1}, "0 answers of version 3"),
        ("4", {"min_shadow_answers": 200, "max_shadow_differing": 0.03}, "allowed 3.00%"),
    ],
)
def test_too_few_answers_or_too_many_other_decisions_fail(
    own: Settings, champion: str, bounds: dict[str, float], because: str
) -> None:
    found = tried(own, champion, **bounds)
    assert not found.passed
    assert because in found.reason


def test_one_failure_is_enough_to_fail(own: Settings) -> None:
    at = JUNE + timedelta(days=1)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        (request,) = add_answers(connection, MadeAnswer(at, "u", JUNE, version="4"))
        connection.execute(SCORE, (at, request, None, None, "crashed"))
    found = tried(own, min_shadow_answers=100)
    assert (found.passed, found.figures["failures"]) == (False, 1)


def test_without_a_ledger_nothing_was_tried(server: Settings) -> None:
    found = tried(server.model_copy(update={"ledger_url": None}), min_shadow_answers=1)
    assert (found.passed, found.figures["answers"]) == (False, 0)


@pytest.mark.parametrize(
    "bounds", [{"min_shadow_answers": 0}, {"max_shadow_differing": 0.0}, {"max_shadow_differing": 1.1}]
)
def test_bounds_that_nothing_can_keep_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="min_shadow_answers"):
        GateBounds(**bounds)  # type: ignore[arg-type]
