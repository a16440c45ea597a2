"""kill -9 in the middle of a promotion or a rollback: one rerun, and registry and history agree."""

import random
import signal
import time
from collections.abc import Mapping
from itertools import cycle, islice, pairwise

import pytest

from asof.settings import Settings
from tests.kits.machine.kill import Act, Kill, begun, fail_at_the_alias, steps_until_exit
from tests.kits.models.promotion import Registry, fresh_registry, keep, restore
from training.models.evaluation.evaluate import Evaluation

SOAK = pytest.mark.soak
AFTER = pytest.mark.parametrize("after", [False, pytest.param(True, marks=SOAK)], ids=["before", "after"])
"""A committed step looks the same after it as before the next one: a kill after a step is for the long run."""
KILLS = pytest.mark.parametrize(
    ("stride", "after"),
    [(3, False), pytest.param(1, False, marks=SOAK), pytest.param(1, True, marks=SOAK)],
    ids=["before every third step", "before each step", "after each step"],
)


@pytest.fixture(scope="module")
def promoted(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    """Versions 1 (`less`), 2 (`default`) and 3 (`constant`); 1 has been in Production, and 2 is."""
    registry = fresh_registry(settings, evaluations)
    for estimator in ("less", "default"):
        registry.put(estimator)
    registry.version("constant")
    keep(registry)
    return registry


@pytest.fixture
def registry(promoted: Registry) -> Registry:
    return restore(promoted)


@pytest.fixture(scope="module")
def without_history(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    """The same versions, promoted by an earlier AsOf that kept no history."""
    registry = fresh_registry(settings, evaluations)
    for number, estimator in enumerate(("less", "default", "constant"), start=1):
        registry.version(estimator)
        if number < 3:
            at, before = f"2026-01-0{number}T00:00:00", str(number - 1) if number > 1 else ""
            registry.client.set_model_version_tag(registry.name, str(number), "promoted_at", at)
            registry.client.set_model_version_tag(registry.name, str(number), "promoted_from", before)
    registry.client.set_registered_model_alias(registry.name, "production", "2")
    keep(registry)
    return registry


def agree(registry: Registry) -> str | None:
    """The version in Production, which alias, stage, tags and history agree on; the chain is whole."""
    report, state = registry.report(), registry.state()
    assert (report.findings, report.mlflow) == ((), "")
    head = report.entries[-1]
    in_production = [version for version, stage in registry.stages().items() if stage == "Production"]
    assert [str(state["alias"].get("production"))] == in_production == [head.version]
    assert registry.tags(str(head.version))["history_entry"].startswith(f"{head.seq} ")
    return head.version


def nothing_half_done_is_read(registry: Registry, before: str) -> None:
    """Whoever reads the alias after a kill finds the version before, or the new one with all that belongs to it."""
    alias, entries = registry.state()["alias"]["production"], registry.history()
    assert str(alias) in (before, entries[-1].version)
    if str(alias) != before:
        assert registry.stages()[str(alias)] == "Production"
        assert registry.tags(str(alias))["history_entry"] == f"{entries[-1].seq} {entries[-1].hash}"


@AFTER
@pytest.mark.parametrize("what", ["promotion", pytest.param("rollback", marks=SOAK)])
def test_killed_at_each_step_a_rerun_finishes_it(registry: Registry, what: str, after: bool) -> None:
    act, version = (Act(registry.name, "3"), "3") if what == "promotion" else (Act(registry.name, to="1"), "1")
    killed_at: list[str] = []
    for step in range(100):
        restore(registry)
        with begun(registry.settings, [act], Kill(step, after)) as (child, pipe):
            killed_at.append(steps_until_exit(pipe)[-1])
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL)
        if child.exitcode == 0:
            break
        nothing_half_done_is_read(registry, before="2")
        act(registry.settings)
        assert agree(registry) == version
        assert [entry.version for entry in registry.history()] == ["1", "2", version]
    assert set(killed_at) == {"append", "stage", "tag", "alias", "done", "end"}
    assert agree(registry) == version


@KILLS
def test_killed_while_a_promotion_that_failed_is_undone_a_rerun_finishes_one_or_the_other(
    registry: Registry, stride: int, after: bool
) -> None:
    act, ways = Act(registry.name, "3"), set()
    for step in range(0, 100, stride):
        restore(registry)
        with begun(registry.settings, [act], Kill(step, after), work=fail_at_the_alias) as (child, pipe):
            steps_until_exit(pipe)
            child.join()
        assert str(registry.state()["alias"]["production"]) == "2"
        act(registry.settings)
        assert agree(registry) == "3"
        ways.add(tuple(entry.event for entry in registry.history()[2:]))
        if child.exitcode == 0:
            break
    assert ways == {("promoted",), ("promoted", "undone", "promoted")}


@KILLS
def test_killed_at_each_step_of_an_adoption_a_rerun_finishes_it(
    without_history: Registry, stride: int, after: bool
) -> None:
    registry, act = without_history, Act(without_history.name, "3")
    for step in range(0, 100, stride):
        restore(registry)
        with begun(registry.settings, [act], Kill(step, after)) as (child, pipe):
            steps_until_exit(pipe)
            child.join()
        act(registry.settings)
        assert agree(registry) == "3"
        assert registry.story() == [("adopted", "1", None), ("adopted", "2", "1"), ("promoted", "3", "2")]
        if child.exitcode == 0:
            break
    assert step > 10


@pytest.mark.parametrize("moments", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_killed_at_random_moments_a_rerun_makes_registry_and_history_agree(registry: Registry, moments: int) -> None:
    """A child goes round promotions and rollbacks; it is killed a random while after a random one of its steps."""
    draw = random.Random(5)
    name = registry.name
    round_ = [Act(name, "3"), Act(name), Act(name, "1"), Act(name, to="2"), Act(name, "1"), Act(name)]
    half_done = 0
    for moment in range(moments):
        acts = list(islice(cycle(round_), moment % len(round_), moment % len(round_) + 50))
        with begun(registry.settings, acts) as (_, pipe):
            for _ in range(draw.randrange(1, 10)):
                pipe.recv()
            time.sleep(draw.uniform(0, 0.05))
        half_done += bool(registry.report().mlflow)
        version = str(1 + moment % 3)
        if moment % 2:  # and killed once more, while it finishes what was left
            kill = Kill(draw.randrange(8), after=draw.random() < 0.5)
            with begun(registry.settings, [Act(name, version)], kill) as (_, pipe):
                steps_until_exit(pipe)
        Act(name, version)(registry.settings)
        assert agree(registry) == version, moment
    assert half_done >= moments // 10  # else the moments say nothing


def test_many_at_once_are_serialised_or_refused(registry: Registry) -> None:
    """Real processes, all at the same: none is lost, none is there twice."""
    entries = len(registry.history())
    acts = [Act(registry.name, version) for version in ("1", "3", "1", "3")]
    children = [begun(registry.settings, [act]) for act in acts]
    opened = [child.__enter__() for child in children]
    ends = [steps_until_exit(pipe)[-1] for _, pipe in opened]
    for child in children:
        child.__exit__(None, None, None)
    assert agree(registry) in ("1", "3")
    new = registry.history()[entries:]
    assert 1 <= len(new) <= ends.count("end")
    assert all(later.previous == earlier.version for earlier, later in pairwise(new))
