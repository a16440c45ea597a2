"""Answers to what-if requests are in no figure: not in counts, nor in the values whose drift is measured."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from asof.settings import Settings
from asof.use_cases import load
from monitoring.measuring.census import take_census
from monitoring.measuring.values import stream_values
from monitoring.records.figure import VersionWindow
from tests.kits.ledger.answers import MadeAnswer, add_answers, ledger

CHURN, DAY = load("churn"), timedelta(days=1)
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)


def test_a_what_if_is_neither_counted_nor_measured(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = [("u1", "R", 99.0), ("u1", "O", 1.0), ("u2", None, 2.0), ("u3", "R", 98.0)]
    answers = [
        MadeAnswer(JANUARY + number * DAY, entity, JANUARY, verdicts=verdicts, values={"hours": value})
        for number, (entity, verdicts, value) in enumerate(made)
    ]
    refused = MadeAnswer(JANUARY + DAY, "u4", JANUARY, status=422, code="missing-features", verdicts="R")
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            add_answers(connection, *answers, refused)
        known_at = JANUARY + 20 * DAY
        census = take_census(settings, CHURN, known_at)
        window = VersionWindow("1", JANUARY)
        models = [each for each in census.models if each.features]
        tables = [*stream_values(settings, CHURN, window, models=models, known_at=known_at)]
    assert census.rows == {JANUARY: 2}
    assert sorted(value for table in tables for value in table["hours"].to_pylist()) == [1.0, 2.0]
