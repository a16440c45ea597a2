"""A minute of load on a following service: three promotions, a bad model and a rollback, and no request notices."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import Load, Variant
from training.release.promotion.promote import rollback
from training.release.registry.versions import ModelVersion

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel

WORKERS, CLIENTS, SECONDS = 2, 8, 60
AGREED = 8.0
"""Seconds within which all workers answer with a promoted version, where two cores serve, load and promote at once."""


@dataclass
class Story:
    """Which version was in Production, from when (monotonic seconds); a bad one counts as the one before."""

    begun: float = field(default_factory=time.monotonic)
    turns: list[tuple[float, float, str]] = field(default_factory=list)

    def turn(self, at: float, version: str, act: Callable[[], object]) -> None:
        """At so many seconds of the story, the act that brings the version into Production."""
        time.sleep(max(0.0, self.begun + at - time.monotonic()))
        before = time.monotonic()
        act()
        self.turns.append((before, time.monotonic(), version))

    def allowed(self, sent: float, answered: float) -> set[str]:
        """The versions that were in Production at some moment from AGREED before the request until its answer."""
        found = set()
        for number, (before, _, version) in enumerate(self.turns):
            later = self.turns[number + 1][1] if number + 1 < len(self.turns) else answered
            if before <= answered and later + AGREED >= sent:
                found.add(version)
        return found


def test_three_promotions_a_bad_model_and_a_rollback_in_a_minute_of_load(
    settings: Settings, small_model: "SmallModel", tmp_path: Path
) -> None:
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    a, b, c, d = (follow.publish(settings, small_model.contract, Variant(seed)) for seed in (31, 32, 33, 34))
    bad = follow.publish(settings, small_model.contract, Variant(35, shift=0.01))  # it says other things than it did
    story = Story()
    story.turn(0, a.version, lambda: follow.promote(settings, a))
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
            kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, log)
            serving = f'asof_serving_workers{{version="{a.version}"}}'
            kit.eventually(lambda: follow.metric(client, serving) == WORKERS, 60, log)
            follow.wait_for(client, a.version, log, in_a_row=12)
            with follow.load_on(client, clients=CLIENTS) as answers:
                _tell(story, settings, versions=(b, c, d), bad=bad)
                time.sleep(max(0.0, story.begun + SECONDS - time.monotonic()))
            refusals = follow.metric(client, 'asof_refused_versions_total{step="load"}')
    assert f"Version {bad.version} is refused (load)" in log.read_text()
    assert refusals >= 1
    _judge(story, answers, bad)
    assert answers.versions == {each.version for each in (a, b, c, d)}
    assert answers.answers[-1].version == d.version


def _tell(story: Story, settings: Settings, *, versions: tuple[ModelVersion, ...], bad: ModelVersion) -> None:
    """The minute begins now."""
    b, c, d = versions
    story.begun = time.monotonic()
    story.turn(6, b.version, lambda: follow.promote(settings, b))
    story.turn(17, b.version, lambda: follow.promote(settings, bad))
    story.turn(28, b.version, lambda: rollback(settings, load("churn"), reason="a bad model"))
    story.turn(34, c.version, lambda: follow.promote(settings, c))
    story.turn(46, d.version, lambda: follow.promote(settings, d))


def _judge(story: Story, load: Load, bad: ModelVersion) -> None:
    assert len(load.answers) > 1000
    assert load.failed == []
    assert bad.version not in load.versions
    wrong = [one for one in load.answers if one.version not in story.allowed(one.sent, one.answered)]
    assert wrong == []
