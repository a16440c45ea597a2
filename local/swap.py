"""A new backend beside the old one, proven, then given the traffic; the old one ends when its last request is answered.

In come the prediction service as it should be and the folder of records; out comes a backend that answers behind the
front door. There are two slots: the one that the traffic file names is never touched, the other is free. So whoever is
killed half-way leaves either the old backend answering or the new one, and a leftover in the other slot, which the next
`begin` ends.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from asof.errors import ConfigurationError
from local import background
from local.background import Running, Service
from local.ports import any_free_port
from local.services import bentoml_home
from local.traffic import FRONT, SLOTS, Traffic, read_traffic, switch, wait_until_answered

LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 30
"""An old backend may take so long over its last requests; the service itself gives up after ten seconds."""


@dataclass(frozen=True)
class Candidate:
    """A backend in its slot. Where it is `new`, `before` has the traffic; else it is that backend itself."""

    service: Service
    running: Running
    traffic: Traffic
    before: Traffic | None
    new: bool


def begin(service: Service, folder: Path) -> Candidate:
    """Ends what an earlier, killed swap left behind, and starts the service, unless the one that answers is like it."""
    before = read_traffic(folder)
    for slot in SLOTS:
        if before is None or slot != before.slot:
            retire(slot, folder)
    if before:
        placed, running = _in_slot(service, before.slot, folder), background.find(before.slot, folder)
        if running and running.purpose == placed.purpose:
            return Candidate(placed, running, before, before, new=False)
    slot = next(slot for slot in SLOTS if before is None or slot != before.slot)
    placed = _in_slot(service, slot, folder)
    _link_stores(folder / slot)
    running = background.launch(placed, folder, (LOOPBACK, any_free_port(LOOPBACK)))
    return Candidate(placed, running, Traffic(slot, service.arguments[-1]), before, new=True)


def give_traffic(candidate: Candidate, folder: Path) -> None:
    """Waits until the candidate is ready, asks it who it is, and sends the traffic to it.

    Raises ConfigurationError with the end of its log where it does not come up or is not the one that is meant; it is
    ended then, and the old one goes on.
    """
    try:
        background.wait_until_healthy(candidate.service, candidate.running, folder)
        if candidate.new:
            _prove(candidate)
    except BaseException:
        if candidate.new:
            background.end(candidate.service.name, folder)
        raise
    if candidate.new:
        switch(folder, candidate.traffic)


def end_old(candidate: Candidate, folder: Path) -> None:
    """Ends the backend that had the traffic before, once it has answered what it was asked."""
    if candidate.new and candidate.before:
        retire(candidate.before.slot, folder)


def retire(slot: str, folder: Path) -> None:
    """Ends what stands in a slot that the traffic file does not name, when no request is on its way to it any more."""
    if not background.is_left(slot, folder):
        return
    if front := background.find(FRONT, folder):
        background.answers(front.host, front.port, "/livez")  # any request shows the front door where the traffic goes
        wait_until_answered(background.record_file(slot, folder), ANSWER_SECONDS)
    background.end(slot, folder)


def _in_slot(service: Service, slot: str, folder: Path) -> Service:
    """The service under the slot's name, with a BENTOML_HOME of its own: see `_link_stores`."""
    return replace(service, name=slot, environment={**service.environment, "BENTOML_HOME": str(folder / slot)})


def _link_stores(home: Path) -> None:
    """A BENTOML_HOME whose stores are the common ones.

    A starting BentoML service empties HOME/prometheus_multiproc_dir, where one that runs keeps its metrics.
    """
    home.mkdir(exist_ok=True)
    for store in ("bentos", "models"):
        (home / store).unlink(missing_ok=True)
        (home / store).symlink_to(bentoml_home().resolve() / store)


def _prove(candidate: Candidate) -> None:
    answer = httpx.get(f"{candidate.running.address}/model", timeout=10)
    if answer.status_code == httpx.codes.UNAUTHORIZED and "ASOF_API_KEYS" in candidate.service.environment:
        return  # it asks for a key, which is kept nowhere; that it is ready says that its golden rows came out
    told = answer.raise_for_status().json()
    if told["bento"] != candidate.traffic.bento:
        raise ConfigurationError(f"{candidate.traffic.bento} was started, and {told['bento']} answers.")
    if not told.get("golden_rows"):
        raise ConfigurationError(f"{candidate.traffic.bento} has not answered its golden rows: bundle it again.")
