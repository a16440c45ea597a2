"""The service while its store is away, comes, restarts, stops and hangs."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from asof.settings import Settings
from local.embedded_postgres import postgres
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem
from tests.kits.service.small_model import SmallModel
from training.features.materialisation.feature_registry import apply_features


@pytest.fixture
def own_postgres(small_model: SmallModel, tmp_path: Path) -> Iterator[Settings]:
    """A PostgreSQL of the test's own, with one good user; stopped when the test begins."""
    home = Settings(postgres_url=None, home=tmp_path)
    settings = postgres.ensure(home)
    apply_features(settings)
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    postgres.stop(home)
    yield settings
    postgres.remove(home)


def test_the_service_recovers_from_every_outage_of_its_store(
    own_postgres: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """PostgreSQL is away at the start, starts, restarts, stops, starts again, hangs, and goes on."""
    folder = tmp_path_factory.mktemp("outage")
    home = own_postgres.model_copy(update={"postgres_url": None})
    variables = {"ASOF_CLOCK": kit.NOW.isoformat(), "ASOF_MAX_IN_FLIGHT": "4", "ASOF_LOOKUP_TIMEOUT": "1.5"}
    with kit.serving(own_postgres, small_model.bundle.bento_tag, folder, ready=False, **variables) as client:

        def refused() -> None:
            batch = client.post("/predict/batch", json={"instances": [{}, {"user_id": "good"}]})
            for response in (follow.predict(client), batch, follow.predict(client)):
                problem(response, 503, "feature-store-unavailable")
                assert int(response.headers["retry-after"]) > 0
            problem(client.get("/readyz"), 503, "not-ready")
            assert client.get("/health").json()["status"] == "unavailable"
            assert client.get("/livez").status_code == 200

        def recovered() -> None:
            kit.eventually(lambda: client.get("/readyz").status_code == 200, 30, folder / "log")
            assert follow.predict(client).status_code == 200

        refused()
        postgres.start(home)
        recovered()

        postgres.stop(home)
        postgres.start(home)
        assert follow.predict(client).status_code == 200, "a restart between two requests costs none"

        postgres.stop(home)
        refused()
        pid = postgres.start(home).pid
        recovered()

        server = psutil.Process(pid)
        with hanging([server, *server.children(recursive=True)]):
            refused()
            answers = asyncio.run(ask_at_once(client, 8))
            assert {answer.status_code for answer in answers} == {429, 503}
            overloaded = next(answer for answer in answers if answer.status_code == 429)
            assert problem(overloaded, 429, "overloaded")
            assert int(overloaded.headers["retry-after"]) > 0
        recovered()


@contextlib.contextmanager
def hanging(processes: list[psutil.Process]) -> Iterator[None]:
    """Stops processes as SIGSTOP does: their connections stay open and nothing answers."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def ask_at_once(client: httpx.Client, count: int) -> list[httpx.Response]:
    async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as many:
        return await asyncio.gather(*(many.post("/predict", json={"user_id": "good"}) for _ in range(count)))
