"""A batch at work: one problem never spoils the rest, whether it is a row's, the store's or a new model's."""

import asyncio
import logging
from typing import Any

import pytest

from asof.errors import FeatureStoreUnavailable, InvalidRequest, NotReady
from asof.serving.batch.work import CHUNK_SIZE, Batch, BatchThread
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Prediction, Predictor
from tests.kits.service.batch import ODD, Looking, MadeUp, answered, live_with, predictor, request

INVALID = InvalidRequest("body: no such thing.", errors=[])
AWAY = FeatureStoreUnavailable("The online store is away: try again.")


def ask(live: LiveModel, instances: list[Any]) -> list[Any]:
    """Of each instance a probability of the made-up model, or the exception."""
    return [_told(each.outcome) for each in asyncio.run(answered(live, instances))]


def _told(outcome: Prediction | Exception) -> Any:
    return outcome if isinstance(outcome, Exception) else outcome.answer.model_dump()["probabilities"]["benign"]


def looking(by: Predictor, **trouble: Any) -> Looking:
    by.features = found = Looking(by, **trouble)  # type: ignore[assignment]
    return found


def calls(of: Predictor) -> list[int]:
    assert isinstance(of.model.runtime, MadeUp)
    return of.model.runtime.calls


def test_outcomes_come_in_the_order_of_the_instances_chunk_by_chunk() -> None:
    by = predictor()
    radii = [float(number % 900) for number in range(2 * CHUNK_SIZE + 7)]
    assert ask(live_with(by), [request(radius) for radius in radii]) == [radius / 1000 for radius in radii]
    assert calls(by) == [CHUNK_SIZE, CHUNK_SIZE, 7]


def test_the_row_that_a_model_fails_at_is_tried_alone_and_all_others_are_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    by = predictor("1", ODD)
    radii = [float(number) for number in range(1, 300)]
    radii[17] = radii[200] = ODD
    told = ask(live_with(by), [request(radius) for radius in radii])
    for radius, each in zip(radii, told, strict=True):
        assert isinstance(each, ValueError) if radius == ODD else each == radius / 1000
    assert calls(by).count(1) < 10, "the others are not asked about one by one"
    (record,) = caplog.records
    assert record.getMessage() == "Request 8c5f2a: 2 instances of its batch failed, the first of them by:"
    assert record.exc_info


def test_a_probability_that_is_none_is_an_error_of_its_row() -> None:
    told = ask(live_with(predictor()), [request(500.0), request(5000.0)])
    assert told[0] == 0.5
    assert isinstance(told[1], ArithmeticError)


def test_an_invalid_instance_keeps_its_refusal_and_is_not_looked_up() -> None:
    by = predictor()
    found = looking(by)
    assert ask(live_with(by), [INVALID, request(5.0), INVALID]) == [INVALID, 0.005, INVALID]
    assert ask(live_with(by), [INVALID]) == [INVALID]
    assert found.lookups == 1


def test_a_store_that_is_away_at_the_beginning_refuses_the_whole() -> None:
    by = predictor()
    looking(by, trouble=lambda number: AWAY)
    with pytest.raises(FeatureStoreUnavailable):
        ask(live_with(by), [INVALID, request(5.0)])


def test_a_store_that_fails_later_is_the_outcome_of_all_that_are_left_and_is_not_asked_again() -> None:
    by = predictor()
    found = looking(by, trouble=lambda number: AWAY if number == 2 else None)
    instances: list[Any] = [request(5.0)] * (3 * CHUNK_SIZE)
    instances[-1] = INVALID
    told = ask(live_with(by), instances)
    assert told == [0.005] * CHUNK_SIZE + [AWAY] * (2 * CHUNK_SIZE - 1) + [INVALID]
    assert found.lookups == 2


def test_what_nobody_expected_later_costs_only_what_is_left_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    by = predictor()
    looking(by, trouble=lambda number: ZeroDivisionError() if number == 2 else None)
    told = ask(live_with(by), [request(5.0)] * (CHUNK_SIZE + 3))
    assert told[:CHUNK_SIZE] == [0.005] * CHUNK_SIZE
    assert [type(each) for each in told[CHUNK_SIZE:]] == [ZeroDivisionError] * 3
    (record,) = caplog.records
    assert "3 instances" in record.getMessage()


def test_the_batch_that_begins_before_a_swap_is_answered_to_its_end_by_the_model_before() -> None:
    old, new = predictor("1"), predictor("2")
    live = live_with(old)

    async def run() -> list[str | None]:
        versions = []
        async for chunk in Batch(live, BatchThread(), request_id="8c5f2a").chunks([request(5.0)] * (3 * CHUNK_SIZE)):
            if live.current is old:
                live.swap(new)
            versions += [each.predictor.lineage.version for each in chunk]
        return versions

    assert set(asyncio.run(run())) == {"1"}
    assert not calls(new)


def swapped(new: Predictor, old: Predictor) -> LiveModel:
    live = live_with(old)
    live.swap(new, probation_seconds=60)
    return live


def test_in_a_probation_what_the_new_model_fails_at_is_answered_by_the_one_before_and_held_against_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = predictor("1")
    new = predictor("2", ODD, worker=old.worker)
    live = swapped(new, old)
    returned: list[str] = []
    live.on_revert = lambda failed, why: returned.append(why)
    made = asyncio.run(answered(live, [request(5.0), request(ODD), INVALID, request(6.0)]))
    assert [_told(each.outcome) for each in made] == [0.005, 0.666, INVALID, 0.006]
    assert [each.predictor.lineage.version for each in made] == ["2", "1", "2", "2"]
    assert calls(old) == [1]
    assert "Version 2 failed at a request, version 1 answered." in caplog.text
    assert live.current is new, "one odd row does not undo a promotion"

    asyncio.run(answered(live, [request(ODD)] * 2))
    assert live.current is old
    assert returned == ["it failed at 3 of 5 requests, the last by ValueError('the model cannot bear 666.0')"]


def test_what_both_models_fail_at_is_no_fault_of_the_new_one(caplog: pytest.LogCaptureFixture) -> None:
    old = predictor("1", ODD)
    new = predictor("2", ODD, worker=old.worker)
    live = swapped(new, old)
    told = ask(live, [request(ODD)] * 5)
    assert [type(each) for each in told] == [ValueError] * 5
    assert live.current is new
    assert "5 instances" in caplog.text


def test_a_store_that_is_away_for_the_model_before_is_told_as_such() -> None:
    old = predictor("1")
    new = predictor("2", ODD, worker=old.worker)
    looking(old, trouble=lambda number: AWAY)
    assert ask(swapped(new, old), [request(ODD), request(5.0)]) == [AWAY, 0.005]


def test_after_the_probation_nobody_stands_by() -> None:
    old = predictor("1")
    live = live_with(old)
    live.swap(predictor("2", ODD, worker=old.worker), probation_seconds=1e-9)
    (told,) = ask(live, [request(ODD)])
    assert isinstance(told, ValueError)


def test_nobody_answers_before_it_is_known_who_is_to() -> None:
    with pytest.raises(NotReady):
        Batch(live_with(predictor(), settled=False), BatchThread(), request_id="8c5f2a")


def test_a_model_is_in_use_until_its_batch_has_ended() -> None:
    by = predictor()

    async def run() -> tuple[bool, bool]:
        chunks = Batch(live_with(by), BatchThread(), request_id="8c5f2a").chunks([request(5.0)] * (2 * CHUNK_SIZE))
        await anext(chunks)
        idle = asyncio.create_task(by.idle())
        await asyncio.wait({idle}, timeout=0.2)
        before = idle.done()
        await chunks.aclose()
        await asyncio.wait({idle}, timeout=60)
        return before, idle.done()

    assert asyncio.run(run()) == (False, True)


def test_a_batch_that_is_given_up_leaves_no_lookup_halfway() -> None:
    by = predictor()
    ended: list[int] = []
    found = looking(by)
    read = found.look_up

    async def slow(requests: Any, trained: Any) -> Any:
        await asyncio.sleep(0.05)
        ended.append(len(requests))
        return await read(requests, trained)

    found.look_up = slow  # type: ignore[method-assign]

    async def run() -> None:
        chunks = Batch(live_with(by), BatchThread(), request_id="8c5f2a").chunks([request(5.0)] * (4 * CHUNK_SIZE))
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(run())
    assert ended == [CHUNK_SIZE, CHUNK_SIZE], "the one that was under way ended, and no other began"


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "asof.serving")
