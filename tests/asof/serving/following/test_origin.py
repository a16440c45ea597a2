"""A service that knows a registry but does not follow it serves only a model of that registry."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from asof.errors import NotReady, RegistryUnavailable
from asof.serving.following.origin import check_origin
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Mark
from tests.kits.service.batch import live_with, make_worker, predictor, request


@dataclass
class Fake:
    """A registry that returns or raises `answers` in order, and calls `before` each time."""

    answers: list[bool | Exception]
    before: Callable[[], object] = lambda: None
    closed: bool = False
    asked: list[str] = field(default_factory=list)

    async def has_run(self, run_id: str) -> bool:
        self.asked.append(run_id)
        self.before()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def foreign_model(self, run_id: str) -> str:
        return f"no run {run_id}"

    async def close(self) -> None:
        self.closed = True


def checked(live: LiveModel, registry: Fake) -> None:
    asyncio.run(check_origin(live, registry))  # type: ignore[arg-type]
    assert registry.closed


@pytest.fixture
def live() -> LiveModel:
    live = live_with(predictor(worker=make_worker()), settled=False)
    live.worker.settings = live.worker.settings.model_copy(update={"follow_seconds": 0.001})
    return live


def test_a_model_of_the_registry_answers_once_the_registry_confirms_it(live: LiveModel) -> None:
    before: list[bool] = []
    checked(live, Fake([True], before=lambda: before.append(live.ready)))
    assert (before, live.ready) == ([False], True)


def test_a_model_of_another_registry_never_answers(live: LiveModel) -> None:
    run = live.lineage.run_id
    checked(live, Fake([False]))
    assert not live.ready
    with pytest.raises(NotReady, match=f"no run {run}") as refused:
        asyncio.run(live.predict(request(5.0), Mark("8c5f2a")))
    assert refused.value.extra["settled"] is True


def test_while_the_registry_is_unavailable_the_model_answers_until_it_is_known_to_be_foreign(
    live: LiveModel, caplog: pytest.LogCaptureFixture
) -> None:
    away, before = RegistryUnavailable("It does not answer."), list[bool]()
    checked(live, Fake([away, away, False], before=lambda: before.append(live.ready)))
    assert (before, live.ready) == ([False, True, True], False)
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert warning.startswith("It does not answer. Whether it has run")
