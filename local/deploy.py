"""A Bento -> the prediction service of the local stack, without a failed request; and what answers there now."""

from dataclasses import dataclass
from time import perf_counter

import psutil

from asof.errors import ConfigurationError
from asof.settings import Settings
from local import background, stack, swap
from local.services import front_service, prediction_service
from local.traffic import FRONT, read_traffic


@dataclass(frozen=True)
class Deployed:
    """The Bento that answers now and the one before (None: nothing answered); `created` says that they were swapped.

    Seconds: until the first answer of the new one, and until the old one had ended.
    """

    bento: str
    previous: str | None
    address: str
    created: bool
    seconds_to_first_answer: float
    seconds: float


@dataclass(frozen=True)
class Standing:
    """The Bento that answers on the local stack, and whether it takes promoted versions by itself."""

    bento: str
    follows: bool


def deploy(settings: Settings, bento: str) -> Deployed:
    """Starts the Bento beside the one that answers, proves it, moves the traffic and ends the old one.

    A Bento that answers already with the same settings stays. Raises ConfigurationError where there is no such Bento,
    or where it does not come up: the old one goes on.
    """
    begun = perf_counter()
    with stack.locked(settings) as folder:
        service = prediction_service(stack.with_registry(settings, folder), bento)
        if service is None:
            raise ConfigurationError(f"There is no Bento {bento}: run `python -m flows bundle`.")
        front_door = front_service(settings)
        front = stack.started(front_door, folder, settings.host)
        candidate = swap.begin(service, folder)
        swap.give_traffic(candidate, folder)
        background.wait_until_healthy(front_door, front, folder)
        answered = perf_counter() - begun
        swap.end_old(candidate, folder)
    previous = candidate.before.bento if candidate.before else None
    return Deployed(candidate.traffic.bento, previous, front.address, candidate.new, answered, perf_counter() - begun)


def standing(settings: Settings) -> Standing | None:
    """What answers on the local stack at this moment; None where nothing does."""
    folder = stack.run_folder(settings)
    traffic = read_traffic(folder)
    running = background.find(traffic.slot, folder) if traffic else None
    if traffic is None or running is None or background.find(FRONT, folder) is None:
        return None
    return Standing(traffic.bento, bool(psutil.Process(running.pid).environ().get("ASOF_FOLLOW")))
