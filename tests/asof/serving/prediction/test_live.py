"""The live model: none yet, the first one, and a second one with the first as standby."""

import asyncio
from typing import Any

import pytest

from asof.errors import NotReady
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Mark
from tests.kits.service.batch import ODD, live_with, make_worker, predictor, request


def ask(live: LiveModel, radius: float = 5.0) -> str | None:
    """The version that answers."""
    return asyncio.run(live.predict(request(radius), Mark("8c5f2a")))[0].lineage.version


def refused(live: LiveModel) -> str:
    with pytest.raises(NotReady) as caught:
        ask(live)
    return str(caught.value)


def test_without_a_model_requests_are_refused_and_the_lineage_is_the_workers() -> None:
    worker = make_worker()
    live = LiveModel(worker, settled=False)
    assert "retry shortly" in refused(live)
    live.settled = True
    assert not live.ready
    assert "No version of breast_cancer has been loaded yet: promote one" in refused(live)
    with pytest.raises(NotReady):
        _ = live.current
    assert live.answer_source is worker
    assert (live.lineage.name, live.lineage.version, live.lineage.run_id) == ("breast_cancer", None, "")
    assert live.lineage.bento == "breast_cancer:v1"
    assert live.predictors == ()
    live.start()
    asyncio.run(live.close())


def test_a_refusal_may_have_further_members() -> None:
    assert LiveModel(make_worker()).not_ready(following="...").extra == {"settled": True, "following": "..."}


def test_the_first_model_answers_once_it_is_settled_and_has_no_standby() -> None:
    worker = make_worker()
    live, first = LiveModel(worker, settled=False), predictor("1", ODD, worker=worker)
    assert live.swap(first, probation_seconds=60) is None
    assert "retry shortly" in refused(live)
    live.settled = True
    assert live.ready
    assert ask(live) == "1"
    assert live.answer_source is live.current is first
    assert live.select().standby is None
    with pytest.raises(ValueError, match="fails at"):
        ask(live, ODD)


def test_a_swap_after_the_first_can_be_reverted() -> None:
    worker = make_worker()
    live: Any = LiveModel(worker)
    first, second, third = (predictor(version, worker=worker) for version in "123")
    assert [live.swap(each) for each in (first, second, third)] == [None, None, first]
    assert live.predictors == (third, second)
    assert live.revert() is third
    assert live.predictors == (second,)
    assert ask(live) == "2"


def test_the_bentos_own_model_waits_until_it_is_settled() -> None:
    own = predictor()
    live = live_with(own, settled=False)
    assert "retry shortly" in refused(live)
    assert live.current is own
    assert live.lineage is own.lineage


def test_a_starting_worker_waits_until_its_model_is_known_and_no_longer_than_its_limit() -> None:
    live = live_with(predictor(), settled=False)

    async def settle_meanwhile() -> None:
        waiting = asyncio.create_task(live.wait_until_ready(60))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        live.settled = True
        await asyncio.wait_for(waiting, 30)

    asyncio.run(live.wait_until_ready(0.1))
    assert not live.ready
    asyncio.run(settle_meanwhile())
    asyncio.run(asyncio.wait_for(LiveModel(make_worker()).wait_until_ready(60), 30))  # there is no model
