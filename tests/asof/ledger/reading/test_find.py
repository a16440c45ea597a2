"""Answers are found by their request, entity and time, and have their values as they were kept."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answer, Answers, ReadValues
from asof.ledger.reading import waiting
from asof.ledger.reading.find import LedgerReader, Selection, reading_ledger
from asof.ledger.reading.kept_answer import KeptAnswer, KeptValue
from asof.ledger.reading.waiting import found_or_shipped, waits
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.writer import Spool
from asof.settings import Settings
from tests.kits.service.ledger import BY_VIEW, FEBRUARY, JANUARY, VALUES, encoder, one, ship


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "ledger", 2**24)


def found(settings: Settings, request_id: str) -> list[KeptAnswer]:
    with reading_ledger(settings, "churn") as ledger:
        return ledger.of_request(request_id)


def test_a_database_without_a_ledger_has_no_answers(settings: Settings) -> None:
    with reading_ledger(settings, "churn") as ledger:
        assert (ledger.models, ledger.find(Selection(), 10), ledger.other_use_case("x")) == ({}, [], None)


def test_an_answer_has_each_value_in_its_type_with_moment_and_verdict(settings: Settings, spool: Spool) -> None:
    model, request_id = encoder("typed"), new_request_id()
    values = VALUES | {"fee": None, "plan": None}
    moments = {"as_of": {"money_fv": JANUARY}, "as_of_features": {"fee": FEBRUARY, "months": JANUARY}}
    verdicts = {
        "fee": Verdict.NULL,
        "plan": Verdict.NOT_FOUND,
        "senior": Verdict.NOT_FOUND,
        "discount": Verdict.OUTSIDE,
    }
    read = ReadValues(values, moments, verdicts)
    spool.append(model, model.one(request_id, "crm", Answer("u1", prediction=0.1 + 0.2, decision=1), read))
    ship(settings, spool.folder)

    (answer,) = found(settings, request_id)
    assert answer.values == (
        KeptValue("fee", "money_fv", "Float64", None, FEBRUARY, Verdict.NULL),
        KeptValue("months", "money_fv", "Int64", 2**60 + 1, JANUARY, Verdict.PRESENT),
        KeptValue("plan", "plan_fv", "String", None, None, Verdict.NOT_FOUND),
        KeptValue("senior", "plan_fv", "Bool", True, None, Verdict.NOT_FOUND),
        KeptValue("discount", None, "Float64", 0.1, None, Verdict.OUTSIDE),
    )
    assert (answer.prediction, answer.answer, answer.api_key) == (0.1 + 0.2, "yes", "crm")
    assert (answer.request_id, answer.entity, answer.model.version) == (request_id, "u1", "typed")


def test_an_item_of_a_batch_is_found_by_its_place(settings: Settings, spool: Spool) -> None:
    model, request_id = encoder("batch"), new_request_id()
    none: list[Any] = [None, None]
    answers = Answers([7, 8], ["a", "b"], none, none, dict.fromkeys(range(2), (404, "entity-not-found")), {}, none)
    spool.append(model, model.many(request_id, None, answers, None), 2)
    ship(settings, spool.folder)
    assert [each.request_id for each in found(settings, request_id)] == [f"{request_id}:7", f"{request_id}:8"]
    (eighth,) = found(settings, f"{request_id}:8")
    assert (eighth.entity, eighth.code, eighth.values) == ("b", "entity-not-found", ())
    assert found(settings, f"{request_id}:9") == []


@pytest.mark.parametrize(
    "own", ["an-id", "4b783cbb-9b07-4b32-872d-35c1e76d04ee", "018f0000-0000-7000-8000-000000000001", "a:7"]
)
def test_an_id_that_the_caller_chose_is_found_as_it_was_sent(settings: Settings, spool: Spool, own: str) -> None:
    """One of them is a UUIDv7 of 2024: kept beside an id of today."""
    model = encoder()
    spool.append(model, one(model, own, "of-a-caller"))
    ship(settings, spool.folder)
    (answer,) = found(settings, own)
    assert (answer.request_id, answer.entity) == (own, "of-a-caller")
    assert answer.request != own
    assert found(settings, answer.request) == [answer]


def test_a_selection_has_the_newest_first(settings: Settings, spool: Spool) -> None:
    model = encoder()
    before = datetime.now(UTC)
    for number in range(5):
        spool.append(model, one(model, f"selected-{number}", "often"))
    middle = datetime.now(UTC)
    refused = Answer("often", 422, "missing-features")
    spool.append(model, model.one("selected-5", None, refused, ReadValues(VALUES, BY_VIEW)))
    ship(settings, spool.folder)

    def ids(limit: int = 100, **selected: Any) -> list[str]:
        with reading_ledger(settings, "churn") as ledger:
            return [each.request_id for each in ledger.find(Selection("often", **selected), limit)]

    every = [f"selected-{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert ids() == ids(since=before) == every
    assert ids(2) == every[:2]
    assert ids(since=middle) == ids(code="missing-features") == every[:1]
    assert ids(until=middle) == ids(scored=True) == every[1:]
    assert ids(until=before) == ids(code="x") == []


def test_the_newest_are_found_whatever_their_age(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, now = encoder("old"), time.time_ns()
    other = type(model)(replace(model.record, use_case="wine"))
    ages = [0, 90, 60 * 48, 60 * 24 * 40]
    for minutes in ages:
        monkeypatch.setattr(time, "time_ns", lambda ago=minutes: now - ago * 60 * 10**9)
        spool.append(other, one(other, new_request_id()))
    monkeypatch.undo()
    ship(settings, spool.folder)
    with reading_ledger(settings, "wine") as ledger:
        found = [ledger.find(Selection(), limit) for limit in range(1, 6)]
        assert [len(each) for each in found] == [1, 2, 3, 4, 4]
        moments = [round((now / 1e9 - each.at.timestamp()) / 60) for each in found[-1]]
        assert moments == ages
        assert found[2] == found[3][:3]
        hours = datetime.now(UTC) - timedelta(hours=3)
        assert (len(ledger.find(Selection(since=hours), 9)), len(ledger.find(Selection(until=hours), 9))) == (2, 2)


def test_a_sample_is_the_same_each_time_whatever_comes_later(settings: Settings, spool: Spool) -> None:
    model, start = encoder(), datetime.now(UTC)

    def add(count: int) -> None:
        for _ in range(count):
            spool.append(model, one(model, new_request_id(), "sampled"))
        ship(settings, spool.folder)

    def sample(limit: int, until: datetime) -> list[str]:
        with reading_ledger(settings, "churn") as ledger:
            return [each.request for each in ledger.sample(Selection(since=start, until=until), limit)]

    add(60)
    until = datetime.now(UTC)
    first = sample(20, until)
    add(30)
    assert first == sample(20, until)
    assert first[:10] == sample(10, until)
    assert first != sorted(first), "by a hash, and not by time"


def test_another_use_case_is_named(settings: Settings, spool: Spool) -> None:
    model = encoder("other")
    other = replace(model.record, use_case="wine")
    spool.append(type(model)(other), one(type(model)(other), "of-wine"))
    ship(settings, spool.folder)
    with reading_ledger(settings, "churn") as ledger:
        assert ledger.of_request("of-wine") == []
        assert (ledger.other_use_case("of-wine"), ledger.other_use_case("nobody")) == ("wine", None)


def test_an_answer_that_is_shipped_meanwhile_is_waited_for(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = encoder("waits")
    spool.append(model, one(model, "waits"))
    assert waits(spool.folder, "waits")
    assert waits(spool.folder, "waits:3")
    assert not waits(spool.folder, "wait")
    shipping = Timer(0.3, ship, (settings, spool.folder))
    shipping.start()
    (answer,) = found_or_shipped(lambda: found(settings, "waits"), spool.folder, "waits")
    shipping.join()
    assert answer.model.version == "waits"

    spool.append(model, one(model, "stays"))
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.2)
    started = time.monotonic()
    assert found_or_shipped(lambda: found(settings, "stays"), spool.folder, "stays") == []
    assert time.monotonic() - started >= 0.2
    assert found_or_shipped(lambda: found(settings, "never"), spool.folder, "never") == []


def test_a_request_of_today_reads_the_minutes_around_it(settings: Settings, spool: Spool) -> None:
    """Of a million answers a day, those of some minutes are read for one of them."""
    model, request_id = encoder(), new_request_id()
    spool.append(model, one(model, request_id))
    ship(settings, spool.folder)
    asked: list[dict[str, Any]] = []

    class Watched(LedgerReader):
        def _rows(self, query: str, values: Any = None) -> Any:
            asked.append(values or {})
            return super()._rows(query, values)

    with reading_ledger(settings, "churn") as ledger:
        assert Watched(ledger._connection, "churn").of_request(request_id)
    (first, last) = (asked[-1][name] for name in ("first", "last"))
    assert last - first <= timedelta(minutes=5)
