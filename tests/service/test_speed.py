"""The served Bento beside the usual design and an empty endpoint, in one run: ratios, where they are wide.

`make bench ARGS=serving` measures the same peers, and more of them, at length.
"""

import pytest

from asof.settings import Settings
from benchmarks.serving.measuring.driven import closed
from benchmarks.serving.setup.catalogue import ASOF, EMPTY, USUAL, catalogue
from benchmarks.serving.setup.peer import started
from benchmarks.serving.setup.world import World, prepared

pytestmark = pytest.mark.soak

USERS, CLIENTS = 500, 8
WARM_UP, SECONDS = 1.0, 2.0


@pytest.fixture(scope="module")
def rates(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Predictions a second of each peer, one after the other; each has returned its model's predictions before."""
    with pytest.MonkeyPatch.context() as patch:
        world = prepared(settings, tmp_path_factory.mktemp("speed"), users=USERS, variants=("forest-all",))
        patch.setenv("BENTOML_HOME", world.environment()["BENTOML_HOME"])
        return {name: _rate(name, world) for name in (USUAL, EMPTY, ASOF)}


def _rate(name: str, world: World) -> float:
    peer = catalogue()[name]
    with started(peer, world) as running:
        seen = closed(peer, running, world, CLIENTS, (WARM_UP, SECONDS))
    assert seen["errors"] == {}
    return float(seen["requests_per_second"])


def test_a_prediction_is_many_times_faster_than_in_the_usual_design(rates: dict[str, float]) -> None:
    """Of a forest of 300 trees, with all cores; the benchmark finds far more than five."""
    assert rates[ASOF] > 5 * rates[USUAL]


def test_a_prediction_costs_little_more_than_an_empty_answer(rates: dict[str, float]) -> None:
    assert rates[ASOF] > 0.3 * rates[EMPTY]
