"""Answers of months that retention has moved: `find`, `replay` and `trace` say where they are."""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from asof.ledger.reading.moved import MovedMonth, moved_months
from asof.settings import Settings
from monitoring.retention.keep import keep_ledger
from tests.kits.ledger.answers import MadeAnswer, add_answers, ledger, request_of
from tests.kits.machine.terminal import call_flows

JANUARY, MARCH = datetime(2024, 1, 31, 23, 59, 59, 999000, tzinfo=UTC), datetime(2024, 3, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def moved(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, str]]:
    """An answer of January, whose month is in a file, and one of March; and the request of January's."""
    folder = tmp_path_factory.mktemp("archive")
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            request, _ = add_answers(
                connection, MadeAnswer(JANUARY, "u1", JANUARY, caller_id="mine"), MadeAnswer(MARCH, "u1", JANUARY)
            )
        keep_ledger(settings.ledger_conninfo(), folder, datetime(2024, 2, 1, tzinfo=UTC))
        with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
            connection.execute(
                "ALTER TABLE ledger.predictions DETACH PARTITION ledger.predictions_2024_06 CONCURRENTLY"
            )
        yield settings, str(request)


@pytest.fixture
def world(moved: tuple[Settings, str]) -> Mapping[str, str]:
    settings, _ = moved
    return {**os.environ, **settings.environment(), "ASOF_LEDGER_SPOOL": str(settings.ledger_folder)}


def test_the_months_of_a_span_are_found_and_one_whose_move_was_interrupted(moved: tuple[Settings, str]) -> None:
    settings, request = moved
    january, june = moved_months(settings)
    assert (january.month, january.rows, Path(january.file).is_file()) == ("2024-01", 1, True)
    assert june == MovedMonth("2024-06", "")
    assert moved_months(settings, request=request) == [january]
    assert moved_months(settings, request=f"{request}:3") == [january]
    assert moved_months(settings, request="mine") == [january, june]
    assert moved_months(settings, request=str(request_of(MARCH))) == []
    assert moved_months(settings, since=datetime(2024, 2, 1, tzinfo=UTC).replace(tzinfo=None)) == [june], (
        "without a zone: UTC"
    )
    assert moved_months(settings, until=datetime(2024, 6, 1, tzinfo=UTC)) == [january]


def test_an_answer_just_after_a_month_with_the_id_of_its_last_second_may_be_in_either(
    moved: tuple[Settings, str],
) -> None:
    settings, _ = moved
    first = datetime(2024, 2, 1, 0, 0, 30, tzinfo=UTC)
    assert [each.month for each in moved_months(settings, request=str(request_of(first)))] == ["2024-01"]


@pytest.mark.parametrize("words", [("trace", "churn"), ("replay", "churn")])
def test_what_is_asked_by_its_request_is_said_to_be_in_a_file(
    moved: tuple[Settings, str], world: Mapping[str, str], words: tuple[str, ...]
) -> None:
    settings, request = moved
    (file,) = (each.file for each in moved_months(settings, request=request))
    done = call_flows(world, *words, request, "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert f"2024-01 (1 answers) to {file}" in error


def test_find_lists_the_months_that_may_have_more(moved: tuple[Settings, str], world: Mapping[str, str]) -> None:
    done = call_flows(world, "ledger", "find", "churn", "--request", "mine")
    assert (done.returncode, "months that may have it were moved" in done.stdout) == (1, True)
    some = call_flows(world, "ledger", "find", "churn", "--entity", "u1")
    assert some.returncode == 0
    assert "2024-01" in some.stdout
    later = json.loads(call_flows(world, "ledger", "find", "churn", "--since", "2024-07-01", "--json").stdout)
    assert later["moved"] == []
    nothing = call_flows(world, "replay", "churn", "--since", "2024-06-01", "--until", "2024-06-30", "--json")
    assert "Moving 2024-06 was interrupted: run" in json.loads(nothing.stdout)["error"]
