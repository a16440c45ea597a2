"""Predictions joined with labels and reported outcomes, of two databases, against an oracle on random histories."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import psycopg
import pytest

from asof.errors import HistoryError
from asof.extracts.schema import Kind
from asof.settings import Settings
from asof.use_cases import load
from monitoring.outcomes.labels import known_labels
from monitoring.outcomes.matured import JoinedOutcomes, join_outcomes
from monitoring.outcomes.maturity import Maturity
from tests.kits.data.extracts import add_months
from tests.kits.ledger.answers import MadeAnswer, add_answers, ledger, request_of
from tests.kits.machine.databases import fresh
from tests.kits.models.keyed import Keyed
from tests.kits.use_cases.returns import EXTRACT as SHOP
from tests.kits.use_cases.returns import USE_CASE as RETURNS
from training.data.snapshots.tables import prepare_tables

CHURN, CANCER = load("churn"), load("breast_cancer")
LABELS = CHURN.extract.labels.name
INSERT_LABEL = f"INSERT INTO public.{LABELS} (user_id, as_of, created_at, churn_label) VALUES (%s, %s, %s, %s)"
INSERT_LOAD = """
INSERT INTO public.loads (folder, as_of, known_at, code_version, files) VALUES ('x', %s, %s, 'c', %s)"""
INSERT_OUTCOME = """
INSERT INTO ledger.outcomes (use_case, event, entity, target_as_of, outcome, observed_at, created_at, acted, control,
    source) VALUES ('churn', %s, %s, %s, %s, %s, %s, %s, %s, 'api')"""
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def own(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The ledger in one database, the labels in another."""
    with (
        fresh(server, tmp_path_factory.mktemp("home")) as labels,
        ledger(server, tmp_path_factory.mktemp("l")) as other,
    ):
        prepare_tables(labels, CHURN.extract)
        with psycopg.connect(labels.conninfo()) as connection:
            add_months(connection, [LABELS], datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC))
        with psycopg.connect(other.ledger_conninfo()) as connection:
            connection.execute("SELECT ledger.make_partitions('2020-01-01', '2024-12-31')")
        yield labels.model_copy(update={"ledger_url": other.postgres_url})


@dataclass
class History:
    """What happened to the predictions of three months of a year, and the rules once more."""

    year: int
    answers: list[tuple[MadeAnswer, UUID]] = field(default_factory=list)
    labels: list[tuple[str, datetime, datetime, bool]] = field(default_factory=list)
    loads: list[tuple[datetime, datetime]] = field(default_factory=list)
    outcomes: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def moments(self) -> list[datetime]:
        return [datetime(self.year, 1, 31, tzinfo=UTC), datetime(self.year, 2, 28, tzinfo=UTC)]

    def end(self, as_of: datetime) -> datetime:
        """Of the horizon: the last day of the next month, at midnight."""
        return {1: datetime(self.year, 2, 28, tzinfo=UTC), 2: datetime(self.year, 3, 31, tzinfo=UTC)}[as_of.month] + (
            DAY if as_of.month == 1 and self.year % 4 == 0 else timedelta(0)
        )

    def happen(self, draw: random.Random, settings: Settings) -> None:
        as_of = draw.choice(self.moments)
        match draw.randrange(3):
            case 0:
                self._answer(draw, settings, as_of)
            case 1:
                self._deliver(draw, settings, as_of)
            case 2:
                self._report(draw, settings, as_of)

    def _answer(self, draw: random.Random, settings: Settings, as_of: datetime) -> None:
        made = [self._drawn(draw, as_of) for _ in range(6)]
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            self.answers += zip(made, add_answers(connection, *made), strict=True)

    def _drawn(self, draw: random.Random, as_of: datetime) -> MadeAnswer:
        return MadeAnswer(
            as_of + draw.randrange(40) * DAY + timedelta(microseconds=draw.randrange(10**6)),
            f"u{draw.randrange(8)}",
            as_of,
            version=draw.choice("12"),
            bento=draw.choice("ab"),
            score=draw.random(),
            status=draw.choice([200, 200, 200, 503]),
            use_case=draw.choice(["churn", "churn", "churn", "other"]),
            verdicts=draw.choice([None, None, "PPO", "PR", "RP"]),
        )

    def _deliver(self, draw: random.Random, settings: Settings, as_of: datetime) -> None:
        """Later than all of the moment before, as loads are."""
        before = max([each[2] for each in self.labels if each[1] == as_of], default=as_of)
        known_at = before + draw.choice([1, 10, 30]) * DAY
        rows = [(f"u{n}", as_of, known_at, draw.random() < 0.4) for n in range(8) if draw.random() < 0.7]
        self.labels += rows
        self.loads.append((as_of, known_at))
        with psycopg.connect(settings.conninfo()) as connection, connection.cursor() as cursor:
            cursor.executemany(INSERT_LABEL, rows)
            cursor.execute(INSERT_LOAD, (as_of, known_at, json.dumps({f"{LABELS}.csv": {"new_rows": len(rows)}})))

    def _report(self, draw: random.Random, settings: Settings, as_of: datetime) -> None:
        before = [each for each in self.outcomes if each[2] == as_of]
        event, entity = (
            (draw.choice(before)[:2]) if before and draw.random() < 0.4 else (uuid4(), f"u{draw.randrange(8)}")
        )
        observed = draw.choice([as_of + 10 * DAY, self.end(as_of), self.end(as_of) + 9 * DAY])
        created = max(observed, as_of + draw.randrange(90) * DAY)
        flags = [draw.choice([None, True, False]) for _ in range(2)]
        row = (event, entity, as_of, draw.random() < 0.5, observed, created, *flags)
        self.outcomes.append(row)
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            connection.execute(INSERT_OUTCOME, (*row[:3], json.dumps(row[3]), *row[4:]))

    def expected(self, known_at: datetime) -> list[tuple[Any, ...]]:
        first: dict[tuple[Any, ...], tuple[MadeAnswer, UUID]] = {}
        for each in sorted(self.answers, key=lambda each: (each[0].at, each[1])):
            made = each[0]
            hypothetical = "R" in (made.verdicts or "")
            if made.use_case == "churn" and made.status == 200 and made.at <= known_at and not hypothetical:
                first.setdefault((made.as_of, made.entity, made.version), each)
        rows = [self._row(made, request, known_at) for made, request in first.values()]
        return sorted(rows, key=lambda row: (row[1], row[0], row[3]))

    def _row(self, made: MadeAnswer, request: UUID, known_at: datetime) -> tuple[Any, ...]:
        assert made.as_of
        outcome, observed, created, acted, control = self._reported(made, known_at)
        end = self.end(made.as_of)
        known = [row for row in self.labels if row[:2] == (made.entity, made.as_of) and row[2] <= known_at]
        if known:
            label = max(known, key=lambda row: row[2])
            if observed is None or (observed, created) <= (end, label[2]):
                outcome, observed, created = label[3], end, label[2]
        loaded = any(as_of == made.as_of and end <= at <= known_at for as_of, at in self.loads)
        maturity = "waiting" if known_at < end else "incomplete" if not loaded else "mature"
        if maturity == "mature" and outcome is None:
            maturity = "unlabelled"
        times = (observed, created, acted, control)
        return (made.entity, made.as_of, str(request), made.at, made.version, made.score, outcome, *times, maturity)

    def _reported(self, made: MadeAnswer, known_at: datetime) -> tuple[Any, ...]:
        versions: dict[UUID, tuple[Any, ...]] = {}
        for number, row in sorted(enumerate(self.outcomes), key=lambda each: (each[1][5], each[0])):
            if row[1:3] == (made.entity, made.as_of) and row[5] <= known_at:
                versions[row[0]] = (row[4], row[5], number, *row)
        latest = sorted(versions.values(), key=lambda row: row[:3], reverse=True)
        if not latest:
            return (None,) * 5
        flags = (next((row[place] for row in latest if row[place] is not None), None) for place in (9, 10))
        return (latest[0][6], *latest[0][:2], *flags)


COLUMNS = [
    *("entity", "as_of", "request", "at", "version", "score", "outcome", "observed_at", "created_at"),
    *("acted", "control", "maturity"),
]


def rows_of(joined: JoinedOutcomes) -> list[tuple[Any, ...]]:
    frame = joined.frame[COLUMNS].astype(object)
    rows = frame.where(frame.notna(), None).itertuples(index=False, name=None)
    return sorted(rows, key=lambda row: (row[1], row[0], row[3]))


@pytest.mark.parametrize("year", range(2020, 2024))
def test_whatever_happened_the_join_is_the_oracles_at_every_moment(own: Settings, year: int) -> None:
    draw, history, seen = random.Random(year), History(year), set[str]()
    first, last = history.moments
    for _ in range(12):
        for _ in range(4):
            history.happen(draw, own)
        known_at = first + draw.randrange(120) * DAY
        joined = join_outcomes(own, CHURN, first, last, known_at=known_at)
        assert rows_of(joined) == history.expected(known_at)
        seen |= {row[-1] for row in rows_of(joined)}
        assert len(joined.mature) == joined.tally[Maturity.MATURE]
        assert sum(joined.tally.values()) == len(joined.frame)
    assert {Maturity.MATURE, Maturity.WAITING, Maturity.INCOMPLETE} <= seen


def test_a_figure_of_yesterday_can_be_made_again(own: Settings) -> None:
    history, draw = History(2024), random.Random(1)
    (first, last), known_at = history.moments, datetime(2024, 4, 10, tzinfo=UTC)
    for _ in range(30):
        history.happen(draw, own)
    before = rows_of(join_outcomes(own, CHURN, first, last, known_at=known_at))
    with psycopg.connect(own.conninfo()) as connection:
        connection.execute(INSERT_LABEL, ("u1", first, known_at + 40 * DAY, True))
    with psycopg.connect(own.ledger_conninfo()) as connection:
        late = (uuid4(), "u1", first, "true", known_at - DAY, known_at + timedelta(microseconds=1), True, True)
        connection.execute(INSERT_OUTCOME, late)
    assert rows_of(join_outcomes(own, CHURN, first, last, known_at=known_at)) == before
    assert rows_of(join_outcomes(own, CHURN, first, last)) != before


def test_of_no_prediction_there_is_no_share(own: Settings) -> None:
    moment = datetime(2019, 1, 1, tzinfo=UTC)
    joined = join_outcomes(own, CHURN, moment, moment)
    assert (len(joined.frame), joined.share) == (0, None)
    with pytest.raises(HistoryError, match="lies in the future"):
        join_outcomes(own, CHURN, moment, moment, known_at=datetime.now(UTC) + DAY)


def test_the_answer_to_a_what_if_request_is_no_prediction(own: Settings) -> None:
    as_of = datetime(2022, 7, 31, tzinfo=UTC)
    what_if = MadeAnswer(as_of + DAY, "u1", as_of, score=0.9, verdicts="PRO")
    real = MadeAnswer(as_of + 2 * DAY, "u1", as_of, score=0.2, verdicts="PPO")
    with psycopg.connect(own.ledger_conninfo(), autocommit=True) as connection:
        add_answers(connection, what_if, MadeAnswer(as_of + DAY, "u2", as_of, verdicts="R"))
        assert len(join_outcomes(own, CHURN, as_of, as_of).frame) == 0
        add_answers(connection, real)
    assert join_outcomes(own, CHURN, as_of, as_of).frame["score"].tolist() == [0.2], "though it was asked later"


def test_outcomes_that_are_declared_complete_count_without_labels(own: Settings) -> None:
    as_of = datetime(2022, 8, 31, tzinfo=UTC)
    reported = (uuid4(), "u1", as_of, "true", as_of + 20 * DAY, as_of + 20 * DAY, None, None)
    with psycopg.connect(own.ledger_conninfo(), autocommit=True) as connection:
        add_answers(connection, MadeAnswer(as_of + DAY, "u1", as_of), MadeAnswer(as_of + DAY, "u2", as_of))
        connection.execute(INSERT_OUTCOME, reported)
        assert join_outcomes(own, CHURN, as_of, as_of).tally[Maturity.INCOMPLETE] == 2
        declare = "INSERT INTO ledger.complete_outcomes VALUES ('churn', %s, %s, 'me')"
        connection.execute(declare, (as_of, as_of + 31 * DAY))
    joined = join_outcomes(own, CHURN, as_of, as_of)
    assert (joined.tally[Maturity.MATURE], joined.tally[Maturity.UNLABELLED], joined.share) == (1, 1, 0.5)


def test_where_features_come_in_the_request_each_answer_is_a_case(own: Settings) -> None:
    at = datetime(2022, 9, 30, tzinfo=UTC)
    made = MadeAnswer(at, None, None, use_case="breast_cancer")
    outcome = """
        INSERT INTO ledger.outcomes (use_case, event, request, item, outcome, observed_at, created_at, source)
        VALUES ('breast_cancer', %s, %s, %s, 'false', %s, %s, 'api')"""
    with psycopg.connect(own.ledger_conninfo()) as connection:
        one, _ = add_answers(connection, made, made)
        batch = request_of(at)
        add_answers(connection, *(MadeAnswer(at, None, None, "breast_cancer", request=batch, item=n) for n in (0, 1)))
        for request, item in ((one, None), (batch, 1)):
            connection.execute(outcome, (uuid4(), request, item, at + DAY, at + DAY))
    frame = join_outcomes(own, CANCER, at, at).frame
    mature = frame[frame["maturity"] == Maturity.MATURE]
    assert {(row.request, None if pd.isna(row.item) else row.item) for row in mature.itertuples()} == {
        (str(one), None),
        (str(batch), 1),
    }
    assert (len(frame), mature["outcome"].tolist()) == (4, [False, False])


def test_given_features_make_each_request_a_case_and_labels_are_those_of_the_entity(own: Settings) -> None:
    as_of = datetime(2022, 10, 31, tzinfo=UTC)
    prepare_tables(own, SHOP)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        made = [MadeAnswer(as_of + DAY, who, as_of, use_case="returns") for who in ("c1", "c1", "c2")]
        add_answers(connection, *made)
    with psycopg.connect(own.conninfo()) as connection:
        known_at = as_of + 40 * DAY
        add_months(connection, ["shop_returns"], as_of, as_of)
        insert = "INSERT INTO shop_returns (customer_id, as_of, created_at, returned) VALUES ('c1', %s, %s, true)"
        connection.execute(insert, (as_of, known_at))
        connection.execute(INSERT_LOAD, (as_of, known_at, json.dumps({"shop_returns.csv": {"new_rows": 1}})))
    joined = join_outcomes(own, RETURNS, as_of, as_of)
    assert joined.mature["outcome"].tolist() == [True, True]
    assert joined.tally[Maturity.UNLABELLED] == 1


def test_an_entity_of_several_keys_is_named_as_in_the_ledger(own: Settings) -> None:
    pair = Keyed("pairs", {"shop": Kind.INTEGER, "who": Kind.TEXT, "id": Kind.UUID}, {"seen": ("who",)})
    as_of, odd = datetime(2022, 11, 30, tzinfo=UTC), ['"', "\\", "é", "a/b", "👩‍👩‍👧", "\u2028x", "'", "{}"]
    prepare_tables(own, pair.extract)
    entities = [(f"00000000-0000-0000-0000-{n:012x}", n - 3, text) for n, text in enumerate(odd)]
    with psycopg.connect(own.conninfo()) as connection, connection.cursor() as cursor:
        add_months(connection, ["pairs_labels"], as_of, as_of)
        insert = "INSERT INTO pairs_labels (id, shop, who, as_of, created_at, good) VALUES (%s, %s, %s, %s, %s, true)"
        cursor.executemany(insert, [(*entity, as_of, as_of) for entity in entities])
    labels = known_labels(own, pair.extract, as_of, as_of, as_of)
    assert {*labels.rows["entity"].to_pylist()} == {pair.keys.text(entity) for entity in entities}


def test_without_a_table_of_labels_none_is_joined(own: Settings) -> None:
    never_loaded = Keyed("never", {"user_id": Kind.TEXT}, {"seen": ("user_id",)}).use_case
    moment = datetime(2022, 12, 31, tzinfo=UTC)
    with psycopg.connect(own.ledger_conninfo()) as connection:
        add_answers(connection, MadeAnswer(moment + DAY, "u1", moment))
    assert join_outcomes(own, never_loaded, moment, moment).tally[Maturity.INCOMPLETE] == 1
