"""Windows, volume and maturity of what the ledger has, and which windows have something new."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from asof.errors import DataError, HistoryError
from asof.settings import Settings
from asof.use_cases import load
from monitoring.measuring.measure import Measured, Wanted, measure
from monitoring.measuring.training import Training
from monitoring.measuring.windows import states_of
from monitoring.records.figure import Subject, Verdict
from tests.kits.data.extracts import add_months
from tests.kits.ledger.answers import MadeAnswer, add_answers, empty, ledger
from training.data.snapshots.tables import prepare_tables

CHURN, CANCER = load("churn"), load("breast_cancer")
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
DAY = timedelta(days=1)
INSERT_LABEL = "INSERT INTO labels (user_id, as_of, created_at, churn_label) VALUES (%s, %s, %s, true)"
INSERT_LOAD = "INSERT INTO loads (folder, as_of, known_at, code_version, files) VALUES ('x', %s, %s, 'c', %s)"


@pytest.fixture(scope="module")
def shared(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        prepare_tables(settings, CHURN.extract)
        yield settings


@pytest.fixture
def own(shared: Settings) -> Settings:
    empty(shared)
    with psycopg.connect(shared.conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"TRUNCATE loads, {CHURN.extract.labels.name}")
    return shared


@pytest.fixture(autouse=True)
def _trained_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.measuring.measure.training_of", lambda settings, run_id: Training())


def answer(settings: Settings, *answers: MadeAnswer) -> list[Any]:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        return add_answers(connection, *answers)


def measured(settings: Settings, before: Measured | None = None, use_case: Any = CHURN, **options: Any) -> Measured:
    states = states_of(json.loads(json.dumps({"windows": before.states}))) if before else {}
    known_at = options.pop("known_at", None)
    return measure(settings, use_case, Wanted(states, **options), known_at, lambda _: None)


def values(done: Measured, subject: Subject, version: str = "1", as_of: datetime = JANUARY) -> dict[str, Any]:
    return {
        f"{each.metric} {each.about}".strip(): each.value
        for each in done.figures
        if (each.subject, each.version, each.as_of) == (subject, version, as_of)
    }


def label(settings: Settings, as_of: datetime, known_at: datetime, *users: str) -> None:
    name = CHURN.extract.labels.name
    with psycopg.connect(settings.conninfo()) as connection:
        add_months(connection, [name], as_of, as_of)
        for user in users:
            connection.execute(INSERT_LABEL.replace("labels", name), (user, as_of, known_at))
        connection.execute(INSERT_LOAD, (as_of, known_at, json.dumps({f"{name}.csv": {"new_rows": len(users)}})))


def test_without_a_ledger_there_is_nothing(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.kits.machine.databases import fresh

    with fresh(server, tmp_path_factory.mktemp("home")) as settings:
        done = measured(settings)
    assert (done.figures, done.windows, done.answers) == ([], [], 0)


def test_refusals_count_and_those_without_a_moment_belong_to_the_newest_window_before_them(own: Settings) -> None:
    unknown = {"entity": "x", "as_of": None, "status": 404, "code": "entity-not-found"}
    answer(
        own,
        *(MadeAnswer(JANUARY + DAY, f"u{n}", JANUARY) for n in range(3)),
        MadeAnswer(FEBRUARY + DAY, "u1", FEBRUARY, status=503, code="stale-features"),
        MadeAnswer(JANUARY - DAY, **unknown),
        MadeAnswer(JANUARY + 2 * DAY, **unknown),
        MadeAnswer(FEBRUARY + 2 * DAY, **unknown),
        MadeAnswer(FEBRUARY + 2 * DAY, "u9", FEBRUARY, use_case="returns"),
        MadeAnswer(JANUARY + DAY, "u9", JANUARY, verdicts="R"),  # a what-if answer
    )
    done = measured(own)
    assert done.windows == [JANUARY, FEBRUARY]
    assert values(done, Subject.VOLUME) == {"answers": 3.0, "refused entity-not-found": 0.4}
    assert values(done, Subject.VOLUME, as_of=FEBRUARY) == {
        "answers": 0.0,
        "refused entity-not-found": 0.5,
        "refused stale-features": 0.5,
    }


def test_more_missing_values_than_in_training_are_an_alarm_and_outside_values_are_none(own: Settings) -> None:
    read = {"fee": 1.0, "hours": None}
    rows = [MadeAnswer(JANUARY + DAY, f"u{n}", JANUARY, values=read, verdicts="ON") for n in range(60)]
    rows += [MadeAnswer(JANUARY + DAY, f"v{n}", JANUARY, values=read) for n in range(240)]
    answer(own, *rows, MadeAnswer(JANUARY + DAY, "w", JANUARY, status=422, code="missing-features"))
    figures = {each.about: each for each in measured(own).figures if each.metric == "verdict"}
    assert {about: (each.value, each.n, each.verdict) for about, each in figures.items()} == {
        "fee:OUTSIDE": (0.2, 300, Verdict.OK),
        "hours:NULL": (0.2, 300, Verdict.ALARM),
    }
    assert figures["hours:NULL"].low == pytest.approx(0.1587, abs=1e-4)  # Wilson
    assert figures["hours:NULL"].high == pytest.approx(0.2489, abs=1e-4)


def test_only_a_window_with_something_new_is_computed_again(own: Settings) -> None:
    answer(own, *(MadeAnswer(each + DAY, "u1", each) for each in (JANUARY, FEBRUARY)))
    first = measured(own)
    assert first.windows == [JANUARY, FEBRUARY]
    assert not measured(own, first).windows
    answer(own, MadeAnswer(JANUARY + DAY, "late", JANUARY))  # shipped late
    second = measured(own, first)
    assert (second.windows, second.answers) == ([JANUARY], 2)
    label(own, FEBRUARY, FEBRUARY + 32 * DAY, "u1")
    third = measured(own, second)
    assert third.windows == [FEBRUARY]
    assert values(third, Subject.MATURITY, as_of=FEBRUARY)["mature_share"] == 1.0
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute(
            "INSERT INTO ledger.outcomes (use_case, event, entity, target_as_of, outcome, observed_at, source) "
            "VALUES ('churn', %s, 'u1', %s, 'false', %s, 'api')",
            (uuid4(), JANUARY, JANUARY + DAY),
        )
    assert measured(own, third).windows == [JANUARY]
    assert measured(own, third, all=True).windows == [JANUARY, FEBRUARY]
    assert measured(own, third, as_of=FEBRUARY).windows == [FEBRUARY]
    with pytest.raises(DataError, match="no answers as of 2024-03-31; it has: 2024-01-31, 2024-02-29"):
        measured(own, third, as_of=datetime(2024, 3, 31, tzinfo=UTC))


def test_the_end_of_a_horizon_and_an_overdue_outcome_are_something_new(own: Settings) -> None:
    answer(own, MadeAnswer(JANUARY + DAY, "u1", JANUARY))
    waiting = measured(own, known_at=FEBRUARY - DAY)
    assert values(waiting, Subject.MATURITY)["waiting_share"] == 1.0
    ended = measured(own, waiting, known_at=FEBRUARY + DAY)
    assert (ended.windows, values(ended, Subject.MATURITY)["incomplete_share"]) == ([JANUARY], 1.0)
    assert not measured(own, ended, known_at=FEBRUARY + 2 * DAY).windows
    overdue = measured(own, ended, known_at=FEBRUARY + 8 * DAY)
    assert overdue.windows == [JANUARY]
    alarms = [each.metric for each in overdue.figures if each.verdict == Verdict.ALARM]
    assert alarms == ["incomplete_share"]
    with pytest.raises(HistoryError, match="lies in the future"):
        measured(own, known_at=datetime.now(UTC) + DAY)


def test_a_month_that_was_archived_keeps_its_figures(own: Settings) -> None:
    answer(own, MadeAnswer(JANUARY + DAY, "u1", JANUARY), MadeAnswer(JANUARY + 30 * DAY, "u1", JANUARY))
    before = measured(own)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM ledger.predictions WHERE at < %s", (JANUARY + 2 * DAY,))
    after = measured(own, before, all=True)
    assert (after.windows, after.archived) == ([], [JANUARY])
    assert after.states == before.states
    with pytest.raises(DataError, match="as of 2024-01-31 were moved to the archive"):
        measured(own, before, as_of=JANUARY)


def test_features_of_the_request_make_months(own: Settings) -> None:
    in_month = datetime(2024, 5, 31, 23, 59, 59, tzinfo=UTC)
    made = [MadeAnswer(in_month + n * timedelta(seconds=1), None, None, use_case="breast_cancer") for n in (0, 0, 1)]
    request, *_ = answer(own, *made)
    may, june = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    first = measured(own, use_case=CANCER)
    assert first.windows == [may, june]
    assert values(first, Subject.VOLUME, as_of=may)["answers"] == 2.0
    assert values(first, Subject.MATURITY, as_of=may)["waiting_share"] == 1.0
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute(
            "INSERT INTO ledger.outcomes (use_case, event, request, outcome, observed_at, source) "
            "VALUES ('breast_cancer', %s, %s, 'false', %s, 'api')",
            (uuid4(), request, in_month),
        )
    second = measured(own, first, use_case=CANCER)
    assert second.windows == [may]
    assert values(second, Subject.MATURITY, as_of=may)["mature_share"] == 0.5


def test_each_version_has_its_own_figures_and_one_without_a_number_is_named_by_its_run(own: Settings) -> None:
    answer(own, MadeAnswer(JANUARY + DAY, "u1", JANUARY), MadeAnswer(JANUARY + DAY, "u1", JANUARY, version="2"))
    with psycopg.connect(own.ledger_conninfo()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE ledger.models SET version = NULL WHERE version = '2'")
    done = measured(own)
    assert {each.version for each in done.figures} == {"1", "run-2"}
    assert values(done, Subject.MATURITY, "run-2")["incomplete_share"] == 1.0
