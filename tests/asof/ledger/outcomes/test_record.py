"""Reported outcomes against an oracle: sent twice, out of order, half wrong, for users of tomorrow, at once."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from asof.ledger.outcomes.record import Verdict, record
from asof.ledger.outcomes.report import ReportReader
from asof.settings import Settings
from asof.use_cases import load
from tests.kits.ledger.answers import MadeAnswer, add_answers, empty, request_of

CHURN, CANCER = load("churn"), load("breast_cancer")
NOW = datetime(2024, 6, 1, tzinfo=UTC)
MOMENTS = [datetime(2024, month, 28, tzinfo=UTC) for month in (1, 2, 3)]
TABLE = """
SELECT entity, target_as_of, request, item, outcome, observed_at, acted, control, source, client_key
FROM ledger.outcomes WHERE use_case = %s ORDER BY id"""


@pytest.fixture(scope="module")
def settings(own_ledger: Settings) -> Settings:
    return own_ledger


@pytest.fixture(autouse=True)
def _empty(settings: Settings) -> None:
    empty(settings)


def post(settings: Settings, items: list[Any], source: str = "api", use_case: Any = CHURN) -> list[Any]:
    """The verdicts."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        reports = [ReportReader(use_case).read(each, NOW) for each in items]
        return [each.verdict for each in record(connection, use_case, reports, source)]


def table(settings: Settings, use_case: str = "churn") -> list[Any]:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        return connection.execute(TABLE, [use_case]).fetchall()


class Oracle:
    """The rules once more, on lists."""

    def __init__(self) -> None:
        self.answers: list[MadeAnswer] = []
        self.rows: list[tuple[Any, ...]] = []

    def post(self, items: list[Any], source: str) -> list[str]:
        return [self._one(item, source) for item in items]

    def _one(self, item: Any, source: str) -> str:
        if not self._is_readable(item):
            return "rejected"
        target = self._target(item)
        observed = datetime.fromisoformat(item["observed_at"])
        if isinstance(target, str) or observed < target[1]:
            return target if isinstance(target, str) else "rejected"
        content = (item["outcome"], observed, item.get("acted"), item.get("control"))
        mine = [row for row in self.rows if row[8] == source and row[9] == item.get("key")]
        versions = mine if "key" in item else [row for row in mine if row[:2] == target[:2] and row[5] == observed]
        if versions and versions[-1][:2] != target[:2]:
            return "rejected"
        if versions and versions[-1][4:8] == content:
            return "unchanged"
        self.rows.append((*target, *content, source, item.get("key")))
        return "corrected" if versions else "accepted"

    def _is_readable(self, item: Any) -> bool:
        allowed = {"entity", "as_of", "request_id", "item", "outcome", "observed_at", "acted", "control", "key"}
        if not isinstance(item, dict) or item.keys() - allowed or not {"outcome", "observed_at"} <= item.keys():
            return False
        of_entity = {"entity", "as_of"} <= item.keys() and not {"request_id", "item"} & item.keys()
        of_request = "request_id" in item and "entity" not in item
        future = (
            datetime.fromisoformat(item["observed_at"]) > NOW
            or datetime.fromisoformat(item.get("as_of", "2024-01-01T00:00Z")) > NOW
        )
        return type(item["outcome"]) is bool and (of_entity or of_request) and not future

    def _target(self, item: Any) -> tuple[Any, ...] | str:
        good = [each for each in self.answers if each.status == 200 and each.use_case == "churn"]
        as_of = datetime.fromisoformat(item["as_of"]) if "as_of" in item else None
        if "entity" in item:
            known = any(each.entity == item["entity"] for each in good)
            return (item["entity"], as_of, None, None) if known else "unknown"
        named = [each for each in good if str(each.request) == item["request_id"]]
        named = named or [each for each in good if each.caller_id == item["request_id"]]
        exact = [each for each in named if each.item == item.get("item")]
        if len({each.request for each in named}) > 1 or (named and not exact and "item" not in item):
            return "rejected"
        if not exact:
            return "unknown"
        (one, *_) = exact
        return (one.entity, one.as_of, one.request, one.item) if as_of in (None, one.as_of) else "rejected"


def drawn_item(draw: random.Random, oracle: Oracle) -> Any:
    if draw.random() < 0.03:
        return draw.choice([None, 7, "x", [], {}])
    item: dict[str, Any] = {"outcome": draw.choice([True, False]), "observed_at": observed(draw)}
    if draw.random() < 0.5:
        item |= {"entity": f"u{draw.randrange(9)}", "as_of": draw.choice(MOMENTS).isoformat()}
    else:
        answer = draw.choice(oracle.answers)
        item["request_id"] = draw.choice([str(answer.request), answer.caller_id or str(request_of(NOW))])
        item |= {"item": answer.item} if answer.item is not None else {}
    faults: list[dict[str, Any]] = [
        {"outcome": draw.choice(["yes", 1, None, "true"])},
        {"as_of": (NOW + timedelta(days=1)).isoformat()},
        {"observed_at": (NOW + timedelta(hours=1)).isoformat()},
        {"entity": "u1"},
        {"item": 5},
        {"unknown": 1},
        {"request_id": str(request_of(MOMENTS[0]))},
    ]
    item |= draw.choice(faults) if draw.random() < 0.25 else {}
    if draw.random() < 0.1:
        item.pop("item", None)
    if draw.random() < 0.5:
        item["key"] = f"k{draw.randrange(12)}"
    return item | ({"acted": draw.choice([True, False])} if draw.random() < 0.4 else {})


def observed(draw: random.Random) -> str:
    return (MOMENTS[0] + timedelta(days=draw.choice([-1, 0, 20, 31, 62, 93]))).isoformat()


def drawn_answer(draw: random.Random, day: int) -> MadeAnswer:
    at = MOMENTS[0] + timedelta(days=day, seconds=draw.randrange(1000))
    return MadeAnswer(
        at,
        f"u{draw.randrange(3 + day // 10)}",
        draw.choice(MOMENTS),
        use_case=draw.choice(["churn", "churn", "churn", "other"]),
        status=draw.choice([200, 200, 200, 503]),
        request=request_of(at - timedelta(seconds=draw.choice([0, 30]))),
        item=draw.choice([None, None, 0, 1]),
        caller_id=draw.choice([None, "mine-1", "mine-2", f"own-{day}"]),
    )


@pytest.mark.parametrize("seed", range(4))
def test_after_any_posts_the_table_is_the_oracles(settings: Settings, seed: int) -> None:
    draw, oracle, seen = random.Random(seed), Oracle(), set[str]()
    sent: list[tuple[list[Any], str]] = []
    for day in range(0, 60, 2):
        oracle.answers += [drawn_answer(draw, day) for _ in range(2)]
        with psycopg.connect(settings.ledger_conninfo()) as connection:
            add_answers(connection, *oracle.answers[-2:])
        again = draw.choice(sent) if sent and draw.random() < 0.3 else None
        items = [drawn_item(draw, oracle) for _ in range(draw.randrange(1, 30))]
        items, source = again or (items + draw.sample(items, len(items) // 3), draw.choice(["api:a", "api:b"]))
        sent.append((items, source))
        expected = oracle.post(items, source)
        assert post(settings, items, source) == expected
        seen |= {*expected}
    assert seen == {*Verdict}
    assert table(settings) == oracle.rows


def test_two_that_send_the_same_at_once_add_it_once(settings: Settings) -> None:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        add_answers(connection, *(MadeAnswer(MOMENTS[1], f"u{n}", MOMENTS[0]) for n in range(50)))
    one = {"as_of": "2024-01-28", "outcome": True, "observed_at": "2024-03-01"}
    items = [one | {"entity": f"u{n}"} for n in range(50)]
    with ThreadPoolExecutor(4) as threads:
        verdicts = [each for posted in threads.map(lambda _: post(settings, items), range(8)) for each in posted]
    assert (verdicts.count("accepted"), verdicts.count("unchanged")) == (50, 350)
    assert len(table(settings)) == 50


def test_a_user_of_tomorrow_is_unknown_until_answered(settings: Settings) -> None:
    item = {"entity": "new", "as_of": "2024-01-28", "outcome": False, "observed_at": "2024-03-01"}
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        add_answers(connection, MadeAnswer(MOMENTS[1], "new", None, status=404))
        assert post(settings, [item]) == ["unknown"]
        add_answers(connection, MadeAnswer(MOMENTS[1], "new", MOMENTS[0]))
    assert post(settings, [item, item]) == ["accepted", "unchanged"]


def test_an_answer_that_was_erased_is_unknown(settings: Settings) -> None:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        (request,) = add_answers(connection, MadeAnswer(MOMENTS[1], None, None))
    assert post(settings, [{"request_id": str(request), "outcome": True, "observed_at": "2024-03-01"}]) == ["unknown"]


def test_where_features_come_in_the_request_each_answer_has_its_own_outcome(settings: Settings) -> None:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        made = [MadeAnswer(MOMENTS[1], None, None, use_case="breast_cancer") for _ in range(2)]
        requests = add_answers(connection, *made)
    items = [{"request_id": str(each), "outcome": True, "observed_at": "2024-03-01"} for each in requests]
    early = {**items[0], "observed_at": "2024-02-27"}
    entity = {"entity": "x", "as_of": "2024-01-28", "outcome": True, "observed_at": "2024-03-01"}
    assert post(settings, [*items, early, entity], use_case=CANCER) == ["accepted", "accepted", "rejected", "rejected"]
    assert [row[2] for row in table(settings, "breast_cancer")] == requests


@pytest.mark.parametrize(
    ("use_case", "outcome", "reason"),
    [
        ("churn", "leaves", "outcome: Input should be a valid boolean"),
        ("churn", 1, "outcome: Input should be a valid boolean"),
        ("wine", "Burgundy", "outcome: Input should be 'barolo', 'grignolino' or 'barbera'"),
        ("diabetes", float("nan"), "outcome: Input should be a finite number"),
        ("diabetes", True, "outcome: Input should be a valid number"),
        ("diabetes", -1.0, "outcome: Input should be greater than or equal to"),
    ],
)
def test_an_outcome_must_be_one_of_the_target(use_case: str, outcome: Any, reason: str) -> None:
    item = {"request_id": "x", "outcome": outcome, "observed_at": "2024-03-01"}
    assert str(ReportReader(load(use_case)).read(item, NOW)).startswith(reason)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"observed_at": "1.3.2024"}, "observed_at: a moment is text as in"),
        ({"observed_at": 1709251200}, "observed_at: a moment is text as in"),
        ({"observed_at": "0001-01-01T00:00:00+12:00"}, "observed_at: a moment is text as in"),
        ({"observed_at": "2024-06-01T00:02Z"}, "observed_at 2024-06-01T00:02Z is in the future"),
        ({"as_of": "2024-06-02"}, "as_of 2024-06-02 is in the future"),
        ({"entity": " x"}, "entity: an id must not begin or end with a blank"),
        ({"entity": None}, "give either entity and as_of, or a request_id"),
        ({"as_of": None}, "an entity needs its as_of"),
        ({"key": "\ud800"}, "key: Input should be a valid string"),
        ({"key": "a\x00"}, "key: String should match"),
        ({"item": 2**15}, "item: Input should be less than"),
        ({"x": 1}, "x: Extra inputs are not permitted"),
    ],
)
def test_a_malformed_item_is_rejected_with_the_reason(members: dict[str, Any], reason: str) -> None:
    item = {"entity": "u1", "as_of": "2024-01-28", "outcome": True, "observed_at": "2024-03-01", **members}
    assert str(ReportReader(CHURN).read(item, NOW)).startswith(reason)


def test_an_id_of_version_7_is_found_by_its_time_in_whatever_order(settings: Settings) -> None:
    draw = random.Random(7)
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        ats = [MOMENTS[0] + timedelta(minutes=draw.randrange(60 * 24 * 60)) for _ in range(60)]
        requests: list[UUID] = add_answers(connection, *(MadeAnswer(at, "u1", MOMENTS[0]) for at in ats))
    items = [{"request_id": str(each), "outcome": True, "observed_at": "2024-05-01"} for each in requests]
    draw.shuffle(items)
    assert post(settings, items) == ["accepted", *["unchanged"] * 59]
