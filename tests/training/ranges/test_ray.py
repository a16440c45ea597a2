"""Scoring and training sets on a Ray cluster of two nodes, one of which is killed: the same as here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from asof.errors import UntrustedModel
from asof.settings import Settings
from tests.kits.models.ranges import AS_OF, CHURN, SCORES, SOURCE, Crowd, entities, lost_in_the_middle, make_crowd
from training.features.datasets import point_in_time
from training.features.datasets.dataset import build_training_set
from training.ranges.plan import cut_points
from training.ranges.ray_cluster import Ray
from training.ranges.worker import WorkerLost
from training.scoring import postgres

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]

AddNode = Callable[..., Callable[[], None]]


@pytest.fixture(scope="module")
def crowd(settings: Settings) -> Crowd:
    """ASOF_TEST_USERS=1000000 makes them a million: six minutes, once."""
    users = int(os.environ.get("ASOF_TEST_USERS", "20000"))
    return make_crowd(settings, users=users, size=users // 20)


@pytest.fixture
def add_node(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddNode]:
    """Adds a node of one CPU with these settings to a cluster of our own, and gives what kills it."""
    pytest.importorskip("ray", reason="run `sh local/setup.sh requirements/ray.txt`")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()

    def add(**changes: str) -> Callable[[], None]:
        node = cluster.add_node(num_cpus=1, include_dashboard=False, env_vars=crowd.settings.environment() | changes)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        return lambda: kill(node)

    def kill(node: Any) -> None:
        """All processes at once, as a power cut does; left alone, a worker would finish its range first."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        processes = [*raylet.children(recursive=True), raylet]
        for each in processes:
            each.kill()
        psutil.wait_procs(processes)
        cluster.remove_node(node, allow_graceful=False)

    yield add
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[WorkerLost]:
    """Every loss that the engine reports."""
    lost: list[WorkerLost] = []
    perform = Ray.perform

    def watched(*given: Any) -> Any:
        try:
            return perform(*given)
        except WorkerLost as error:
            lost.append(error)
            raise

    monkeypatch.setattr(Ray, "perform", watched)
    return lost


def test_users_are_scored_once_where_a_node_is_killed_in_the_middle(
    crowd: Crowd, add_node: AddNode, losses: list[WorkerLost], tmp_path: Path
) -> None:
    here = crowd.score("here", str(tmp_path))
    with psycopg.connect(crowd.settings.conninfo(), autocommit=True) as connection:
        postgres.create_tables(connection)
    add_node()
    kill = add_node()
    with lost_in_the_middle(crowd.settings, SCORES, kill, waiting=2) as begin:
        begin()
        there = crowd.score("ray", "postgres")
    assert losses
    assert there.tally == here.tally
    with psycopg.connect(crowd.settings.conninfo()) as connection:
        rows = connection.execute("SELECT entity FROM scores ORDER BY entity").fetchall()
    assert [entity for (entity,) in rows] == entities(tmp_path)
    assert len(rows) == crowd.users


def test_a_training_set_is_the_whole_where_a_node_is_killed_in_the_middle(
    crowd: Crowd, add_node: AddNode, losses: list[WorkerLost], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = build_training_set(crowd.settings, CHURN, AS_OF, known_at=crowd.known_at)
    monkeypatch.setattr(point_in_time, "RANGE_USERS", crowd.size)
    add_node()
    kill = add_node()
    with lost_in_the_middle(crowd.settings, SOURCE, kill, waiting=2) as begin:

        def cut_then_lock(*given: Any, **named: Any) -> Any:
            cuts = cut_points(*given, **named)
            begin()
            return cuts

        monkeypatch.setattr(point_in_time, "cut_points", cut_then_lock)
        on_ray = crowd.settings.model_copy(update={"engine": "ray"})
        there = build_training_set(on_ray, CHURN, AS_OF, known_at=crowd.known_at)
    assert losses
    assert there.fingerprint == here.fingerprint
    assert there.frame.equals(here.frame)


def test_a_node_that_does_not_trust_the_signer_scores_nobody(crowd: Crowd, add_node: AddNode, tmp_path: Path) -> None:
    add_node(ASOF_TRUSTED_KEYS="A" * 43 + "=")
    with pytest.raises(UntrustedModel):
        crowd.score("ray", str(tmp_path))
    assert not list(tmp_path.rglob("part-*"))
