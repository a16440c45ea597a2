"""A starting worker asks the registry often until it answers, and goes without it after a while."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from asof.errors import RegistryUnavailable
from asof.serving.following.follower import Follower
from asof.serving.following.model_cache import ModelCache
from asof.serving.prediction.live import LiveModel
from tests.kits.service.batch import live_with, make_worker, predictor


class Starting:
    """A registry in which nothing is in Production, and which does not answer its first requests."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def production_version(self) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise RegistryUnavailable("It does not answer.")

    async def has_run(self, run_id: str) -> bool:
        return True

    async def close(self) -> None: ...


def seconds_until_settled(live: LiveModel, registry: Any, folder: Path) -> float:
    async def main() -> float:
        follower = Follower(live, registry, ModelCache(folder), candidates=None)  # type: ignore[arg-type]
        begun = time.monotonic()
        follower.start()
        while not live.settled:
            await asyncio.sleep(0.01)
        await follower.close()
        return time.monotonic() - begun

    return asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize(("failures", "follow_seconds", "least", "most"), [(2, 60.0, 0.0, 5.0), (10**9, 0.3, 0.6, 5.0)])
def test_a_registry_that_starts_late_is_asked_again_soon_and_not_waited_for_for_ever(
    tmp_path: Path, failures: int, follow_seconds: float, least: float, most: float
) -> None:
    live = live_with(predictor(worker=make_worker()), settled=False)
    live.worker.settings = live.worker.settings.model_copy(update={"follow_seconds": follow_seconds})
    assert least <= seconds_until_settled(live, Starting(failures), tmp_path) <= most
