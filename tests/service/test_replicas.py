"""The service at a real replica: requests go on while it is killed and started again, and /metrics says so."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from asof.settings import Settings, export
from tests.kits.machine.replica import Replica
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.small_model import SmallModel
from training.features.materialisation.feature_registry import apply_features

pytestmark = pytest.mark.soak


@dataclass
class Requests:
    """Requests one after the other, until the block of `asking` ends."""

    statuses: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: httpx.Client) -> None:
        while not self.ended.is_set():
            self.statuses.append(follow.predict(client).status_code)


@contextmanager
def asking(client: httpx.Client) -> Iterator[Requests]:
    requests = Requests()
    thread = threading.Thread(target=requests.ask, args=(client,))
    thread.start()
    try:
        yield requests
    finally:
        requests.ended.set()
        thread.join()


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{name}{{.*}} (.*)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def test_no_request_fails_while_the_replica_is_killed_and_comes_back(
    settings: Settings, small_model: SmallModel, replica: Replica, tmp_path_factory: pytest.TempPathFactory
) -> None:
    export(settings)
    apply_features(settings)
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    replica.catch_up(settings)
    variables = {
        "ASOF_CLOCK": kit.NOW.isoformat(),
        "ASOF_POSTGRES_READ_URLS": replica.url(settings).get_secret_value(),
        "ASOF_LOOKUPS_FROM": "replicas",
    }
    folder = tmp_path_factory.mktemp("replica")
    log = folder / "log"
    with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
        kit.eventually(lambda: 0 <= metric(client, "asof_replica_lag_seconds") < 1, 30, log)
        with asking(client) as requests:
            replica.kill()
            kit.eventually(lambda: metric(client, "asof_replicas_left_total") == 1, 30, log)
            replica.start()
            kit.eventually(lambda: "answers lookups" in log.read_text(), 60, log)
        assert set(requests.statuses) == {200}
