"""Processing of a batch: a failure of a row, the store or a new model affects only its own instances."""

import asyncio
import logging
from typing import Any

import pytest

from asof.errors import FeatureStoreUnavailable, InvalidRequest, NotReady
from asof.serving.batch.work import CHUNK_SIZE, Batch, BatchThread
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Prediction, Predictor
from tests.kits.service.batch import ODD, LookupFeatures, MadeUp, answered, live_with, predictor, request

INVALID = InvalidRequest("body: no such thing.", errors=[])
AWAY = FeatureStoreUnavailable("The online store is away: try again.")


def ask(live: LiveModel, instances: list[Any]) -> list[Any]:
    """For each instance the probability of the made-up model, or the exception."""
    return [_result(each.outcome) for each in asyncio.run(answered(live, instances))]


def _result(outcome: Prediction | Exception) -> Any:
    return outcome if isinstance(outcome, Exception) else outcome.answer.model_dump()["probabilities"]["benign"]


def with_lookups(by: Predictor, **error: Any) -> LookupFeatures:
    by.features = features = LookupFeatures(by, **error)  # type: ignore[assignment]
    return features


def calls(of: Predictor) -> list[int]:
    assert isinstance(of.model.runtime, MadeUp)
    return of.model.runtime.calls


def test_outcomes_come_in_the_order_of_the_instances_chunk_by_chunk() -> None:
    by = predictor()
    radii = [float(number % 900) for number in range(2 * CHUNK_SIZE + 7)]
    assert ask(live_with(by), [request(radius) for radius in radii]) == [radius / 1000 for radius in radii]
    assert calls(by) == [CHUNK_SIZE, CHUNK_SIZE, 7]


def test_a_row_at_which_the_model_fails_is_isolated_and_all_others_are_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    by = predictor("1", ODD)
    radii = [float(number) for number in range(1, 300)]
    radii[17] = radii[200] = ODD
    results = ask(live_with(by), [request(radius) for radius in radii])
    for radius, each in zip(radii, results, strict=True):
        assert isinstance(each, ValueError) if radius == ODD else each == radius / 1000
    assert calls(by).count(1) < 10, "the others are not scored one by one"
    (record,) = caplog.records
    assert record.getMessage() == "Request 8c5f2a: 2 instances of its batch failed, the first of them by:"
    assert record.exc_info


def test_an_invalid_probability_is_an_error_of_its_row() -> None:
    results = ask(live_with(predictor()), [request(500.0), request(5000.0)])
    assert results[0] == 0.5
    assert isinstance(results[1], ArithmeticError)


def test_an_invalid_instance_keeps_its_error_and_is_not_looked_up() -> None:
    by = predictor()
    features = with_lookups(by)
    assert ask(live_with(by), [INVALID, request(5.0), INVALID]) == [INVALID, 0.005, INVALID]
    assert ask(live_with(by), [INVALID]) == [INVALID]
    assert features.lookups == 1


def test_a_store_that_is_unavailable_at_the_start_refuses_the_batch() -> None:
    by = predictor()
    with_lookups(by, error=lambda number: AWAY)
    with pytest.raises(FeatureStoreUnavailable):
        ask(live_with(by), [INVALID, request(5.0)])


def test_a_later_error_of_the_store_is_the_outcome_of_all_remaining_instances_without_a_retry() -> None:
    by = predictor()
    features = with_lookups(by, error=lambda number: AWAY if number == 2 else None)
    instances: list[Any] = [request(5.0)] * (3 * CHUNK_SIZE)
    instances[-1] = INVALID
    results = ask(live_with(by), instances)
    assert results == [0.005] * CHUNK_SIZE + [AWAY] * (2 * CHUNK_SIZE - 1) + [INVALID]
    assert features.lookups == 2


def test_a_later_unexpected_error_affects_only_the_remaining_instances_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    by = predictor()
    with_lookups(by, error=lambda number: ZeroDivisionError() if number == 2 else None)
    results = ask(live_with(by), [request(5.0)] * (CHUNK_SIZE + 3))
    assert results[:CHUNK_SIZE] == [0.005] * CHUNK_SIZE
    assert [type(each) for each in results[CHUNK_SIZE:]] == [ZeroDivisionError] * 3
    (record,) = caplog.records
    assert "3 instances" in record.getMessage()


def test_a_batch_that_starts_before_a_swap_is_answered_by_the_previous_model() -> None:
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


def test_during_probation_the_standby_answers_failures_of_the_new_model_which_count_against_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = predictor("1")
    new = predictor("2", ODD, worker=old.worker)
    live = swapped(new, old)
    returned: list[str] = []
    live.on_revert = lambda failed, why: returned.append(why)
    made = asyncio.run(answered(live, [request(5.0), request(ODD), INVALID, request(6.0)]))
    assert [_result(each.outcome) for each in made] == [0.005, 0.666, INVALID, 0.006]
    assert [each.predictor.lineage.version for each in made] == ["2", "1", "2", "2"]
    assert calls(old) == [1]
    assert "Version 2 failed at a request, version 1 answered." in caplog.text
    assert live.current is new, "one odd row does not undo a promotion"

    asyncio.run(answered(live, [request(ODD)] * 2))
    assert live.current is old
    assert returned == ["it failed at 3 of 5 requests, the last by ValueError('the model fails at 666.0')"]


def test_failures_of_both_models_do_not_count_against_the_new_one(caplog: pytest.LogCaptureFixture) -> None:
    old = predictor("1", ODD)
    new = predictor("2", ODD, worker=old.worker)
    live = swapped(new, old)
    results = ask(live, [request(ODD)] * 5)
    assert [type(each) for each in results] == [ValueError] * 5
    assert live.current is new
    assert "5 instances" in caplog.text


def test_an_unavailable_store_of_the_standby_is_the_outcome() -> None:
    old = predictor("1")
    new = predictor("2", ODD, worker=old.worker)
    with_lookups(old, error=lambda number: AWAY)
    assert ask(swapped(new, old), [request(ODD), request(5.0)]) == [AWAY, 0.005]


def test_after_the_probation_there_is_no_standby() -> None:
    old = predictor("1")
    live = live_with(old)
    live.swap(predictor("2", ODD, worker=old.worker), probation_seconds=1e-9)
    (results,) = ask(live, [request(ODD)])
    assert isinstance(results, ValueError)


def test_a_batch_is_refused_before_the_production_version_is_known() -> None:
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


def test_an_abandoned_batch_waits_for_its_running_lookup() -> None:
    by = predictor()
    ended: list[int] = []
    features = with_lookups(by)
    read = features.look_up

    async def slow(requests: Any, trained: Any) -> Any:
        await asyncio.sleep(0.05)
        ended.append(len(requests))
        return await read(requests, trained)

    features.look_up = slow  # type: ignore[method-assign]

    async def run() -> None:
        chunks = Batch(live_with(by), BatchThread(), request_id="8c5f2a").chunks([request(5.0)] * (4 * CHUNK_SIZE))
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(run())
    assert ended == [CHUNK_SIZE, CHUNK_SIZE], "the running one ended, and no other started"


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "asof.serving")
