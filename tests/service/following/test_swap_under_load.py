"""A following service under load for a minute: promotions, a bad model and a rollback, and no request fails."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Load, Variant
from tests.kits.service.small_model import SmallModel
from training.release.promotion.promote import rollback
from training.release.registry.versions import ModelVersion

WORKERS, CLIENTS = 2, 8
AGREED = 8.0
"""Seconds within which all workers answer with a promoted version, where two cores serve, load and promote at once."""


@dataclass
class Timeline:
    """The production versions with their start (monotonic seconds); a bad one is recorded as the previous one."""

    begun: float = field(default_factory=time.monotonic)
    changes: list[tuple[float, float, str]] = field(default_factory=list)

    def change(self, at: float, version: str, act: Callable[[], object]) -> None:
        """Calls `act`, which makes the version the production version, at some second of the timeline."""
        time.sleep(max(0.0, self.begun + at - time.monotonic()))
        before = time.monotonic()
        act()
        self.changes.append((before, time.monotonic(), version))

    def allowed(self, sent: float, answered: float) -> set[str]:
        """The versions that were in Production at some moment from AGREED before the request until its answer."""
        found = set()
        for number, (before, _, version) in enumerate(self.changes):
            later = self.changes[number + 1][1] if number + 1 < len(self.changes) else answered
            if before <= answered and later + AGREED >= sent:
                found.add(version)
        return found


EVENTS = ((6, "b"), (17, "bad"), (28, "rollback"), (34, "c"), (46, "d"), (60, "end"))
"""The events by second."""


@pytest.mark.soak
def test_promotions_a_bad_model_and_a_rollback_under_load(
    settings: Settings, small_model: SmallModel, tmp_path: Path
) -> None:
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    names = ("a", *(name for _, name in EVENTS if len(name) == 1))
    good = {name: follow.publish(settings, small_model.contract, Variant(31 + n)) for n, name in enumerate(names)}
    bad = follow.publish(settings, small_model.contract, Variant(41, shift=0.01))  # its golden rows differ
    timeline, first = Timeline(), good["a"].version
    timeline.change(0, first, lambda: follow.promote(settings, good["a"]))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "service").mkdir()
    with follow.mlflow_server(settings, tmp_path / "mlflow") as mlflow:
        variables = {
            "ASOF_FOLLOW": "production",
            "ASOF_FOLLOW_SECONDS": "0.5",
            "ASOF_REGISTRY_URL": mlflow.address,
            "ASOF_WORKERS": str(WORKERS),
            "ASOF_CLOCK": kit.NOW.isoformat(),
        }
        log = tmp_path / "service" / "log"
        with kit.serving(settings, small_model.bundle.bento_tag, tmp_path / "service", **variables) as client:
            serving = f'asof_serving_workers{{version="{first}"}}'
            kit.eventually(lambda: follow.metric(client, serving) == WORKERS, 60, log)
            follow.wait_for(client, first, log, in_a_row=12)
            with follow.load_on(client, clients=CLIENTS) as answers:
                _play(timeline, settings, good | {"bad": bad}, log)
                follow.wait_for(client, good[names[-1]].version, log, in_a_row=12)
            refusals = follow.metric(client, 'asof_refused_versions_total{step="load"}')
    assert refusals >= 1
    _judge(timeline, answers, bad)
    assert answers.versions == {each.version for each in good.values()}
    assert answers.answers[-1].version == good[names[-1]].version


def _play(timeline: Timeline, settings: Settings, versions: dict[str, ModelVersion], log: Path) -> None:
    """Runs EVENTS; a bad version stays in production until it is refused, and the one before it answers."""
    refusal = f"Version {versions['bad'].version} is refused (load)"
    acts = {name: partial(follow.promote, settings, version) for name, version in versions.items()}
    acts["rollback"] = partial(rollback, settings, load("churn"), reason="a bad model")
    acts["end"] = lambda: None
    timeline.begun = time.monotonic()
    for at, what in EVENTS:
        answers = versions[what].version if what in versions and what != "bad" else timeline.changes[-1][2]
        timeline.change(at, answers, acts[what])
        if what == "bad":
            kit.eventually(lambda: refusal in log.read_text(), 10, log)


def _judge(timeline: Timeline, load: Load, bad: ModelVersion) -> None:
    assert len(load.answers) > 300
    assert load.failed == []
    assert bad.version not in load.versions
    wrong = [one for one in load.answers if one.version not in timeline.allowed(one.sent, one.answered)]
    assert wrong == []
