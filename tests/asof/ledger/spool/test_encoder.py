"""Answers -> frames -> rows of the ledger, compared with what was answered."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answer, Answers, ReadColumns, ReadValues
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.frames import NO_MOMENT
from asof.ledger.spool.writer import Spool
from asof.settings import Settings
from tests.kits.service.ledger import BY_VIEW, FEBRUARY, JANUARY, VALUES, encoder, rows, ship

ANSWER = """
SELECT request::text, caller_id, item, entity, status, code, score, scores, decision, target_as_of, api_key
FROM ledger.predictions WHERE entity IS NOT DISTINCT FROM %s"""
VALUE = "SELECT feature, number, whole_number, text, as_of, verdict FROM ledger.answered_values WHERE entity = %s"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, 2**24)


def values_of(settings: Settings, entity: str) -> dict[str, tuple[Any, ...]]:
    every = rows(settings, VALUE, entity)
    return {
        name: (next((each for each in values if each is not None), None), *rest)
        for name, *values, rest in ((row[0], *row[1:4], row[4:]) for row in every)
    }


def test_an_answer_is_kept_with_its_values_moments_and_model(settings: Settings, spool: Spool) -> None:
    model, request_id = encoder(), new_request_id()
    answer = Answer("whole", prediction=0.1 + 0.2, decision=0)
    assert spool.append(model, model.one(request_id, "billing", answer, ReadValues(VALUES, BY_VIEW)))
    ship(settings, spool.folder)

    assert rows(settings, ANSWER, "whole") == [
        (request_id, None, None, "whole", 200, None, 0.1 + 0.2, None, 0, FEBRUARY, "billing")
    ]
    assert rows(settings, "SELECT floats, integers, texts, moments, verdicts FROM ledger.predictions") == [
        ([70.1, 0.1], [2**60 + 1, 1], ["one, 年"], None, None)
    ]
    assert values_of(settings, "whole") == {
        "fee": (70.1, FEBRUARY, "PRESENT"),
        "months": (2**60 + 1, FEBRUARY, "PRESENT"),
        "plan": ("one, 年", FEBRUARY, "PRESENT"),
        "senior": (1, FEBRUARY, "PRESENT"),
        "discount": (0.1, None, "PRESENT"),
    }
    (known,) = rows(settings, "SELECT version, run_id, bento, threshold, classes, views FROM ledger.models")
    assert known == ("1", "run-1", "bento:1", 0.5, ["no", "yes"], ["money_fv", "plan_fv"])


def test_null_absent_and_stale_are_told_apart(settings: Settings, spool: Spool) -> None:
    model = encoder()
    values = VALUES | {"fee": None, "plan": None, "senior": None}
    verdicts = {"fee": Verdict.NULL, "plan": Verdict.NOT_FOUND, "senior": Verdict.NOT_FOUND, "months": Verdict.STALE}
    moments = {"as_of": {"money_fv": JANUARY}, "as_of_features": {"fee": FEBRUARY, "months": JANUARY}}
    refusal = Answer("refused", 422, "missing-features")
    spool.append(model, model.one("from-the-caller", None, refusal, ReadValues(values, moments, verdicts)))
    ship(settings, spool.folder)

    ((_, caller, *rest),) = rows(settings, ANSWER, "refused")
    assert (caller, *rest) == (
        *("from-the-caller", None, "refused", 422, "missing-features", None, None, None, FEBRUARY, None),
    )
    assert values_of(settings, "refused") == {
        "fee": (None, FEBRUARY, "NULL"),
        "months": (2**60 + 1, JANUARY, "STALE"),
        "plan": (None, None, "NOT_FOUND"),
        "senior": (None, None, "NOT_FOUND"),
        "discount": (0.1, None, "PRESENT"),
    }


def test_an_unknown_entity_is_kept(settings: Settings, spool: Spool) -> None:
    model, verdicts = encoder(), dict.fromkeys(VALUES, Verdict.NOT_FOUND)
    read = ReadValues(dict.fromkeys(VALUES), {"as_of": {}}, verdicts)
    spool.append(model, model.one(new_request_id(), None, Answer("unknown", 404, "entity-not-found"), read))
    ship(settings, spool.folder)
    assert values_of(settings, "unknown") == dict.fromkeys(VALUES, (None, None, "NOT_FOUND"))


def test_an_answer_without_values_or_model_is_kept(settings: Settings, spool: Spool) -> None:
    without = encoder("none", features=(), threshold=None, classes=None)
    spool.append(without, without.one(new_request_id(), None, Answer(None, status=422, code="invalid-request"), None))
    ship(settings, spool.folder)
    ((*_, status, code, score, scores, decision, moment, _),) = rows(settings, ANSWER, None)
    assert (status, code, score, scores, decision, moment) == (422, "invalid-request", None, None, None, None)


@pytest.mark.parametrize("width", [1, 3])
def test_a_batch_gives_the_rows_of_its_answers_one_by_one(settings: Settings, spool: Spool, width: int) -> None:
    """The columnar form of many answers against the form of single ones, for random values with nulls."""
    model, random = encoder(f"batch-{width}"), np.random.default_rng(width)
    count = 40
    columns: dict[str, Any] = {
        "fee": random.normal(size=count),
        "months": random.integers(-(2**62), 2**62, count),
        "plan": np.array([f"p{number % 3}\x00'" for number in range(count)], dtype=object),
        "senior": random.random(count) < 0.5,
        "discount": np.where(random.random(count) < 0.2, np.inf, 1.5),
    }
    nulls = {name: random.random(count) < 0.2 for name in ("fee", "months", "plan", "senior")}
    month = [datetime(2026, 1 + number % 2, 3, 4, 5, 6, 7, tzinfo=UTC) for number in range(count)]
    moments = np.array(
        [[micro(each), NO_MOMENT if number % 7 == 0 else micro(JANUARY)] for number, each in enumerate(month)]
    )
    scores = random.random((count, width)).tolist()
    predictions = [each if width > 1 else each[0] for each in scores]
    good = [number % 5 > 0 for number in range(count)]
    answers = Answers(
        range(count),
        [f"e{number}" for number in range(count)],
        [each if kept else None for each, kept in zip(predictions, good, strict=True)],
        [number % 2 if kept else None for number, kept in enumerate(good)],
        {number: (404, "entity-not-found") for number, kept in enumerate(good) if not kept},
        {7: {"fee": Verdict.OUTSIDE}},
        [number if kept or number % 2 else None for number, kept in enumerate(good)],
    )
    batch, single = new_request_id(), new_request_id()
    spool.append(model, model.many(batch, "k", answers, ReadColumns(columns, nulls, moments)), count)
    for number in range(count):
        read = {
            name: None if name in nulls and nulls[name][number] else values.tolist()[number]
            for name, values in columns.items()
        }
        views = {"money_fv": month[number]} | ({} if number % 7 == 0 else {"plan_fv": JANUARY})
        status, code = answers.problems.get(number, (200, None))
        answer = Answer(f"e{number}", status, code, answers.predictions[number], answers.decisions[number])
        read_values = ReadValues(read, {"as_of": views}, answers.verdicts.get(number, {}))
        frame = model.one(single, "k", answer, None if answers.rows[number] is None else read_values)
        spool.append(model, frame)
    ship(settings, spool.folder)

    kept = (
        "SELECT entity, status, code, score, scores, decision, target_as_of, api_key, floats, integers, texts, moments "
    )
    kept += "FROM ledger.predictions WHERE request = %s ORDER BY entity"
    assert rows(settings, kept, batch) == rows(settings, kept, single)
    assert len(rows(settings, kept, batch)) == count
    assert any(None in each[8] for each in rows(settings, kept, batch) if each[8])


def micro(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
