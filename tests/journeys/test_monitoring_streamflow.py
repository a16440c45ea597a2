"""The real extracts: January's model on February is an error, and the version that is retrained for it is promoted."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asof.settings import Settings
from tests.kits.machine.terminal import call_flows
from tests.kits.models.watched import Watched, watched_since
from training.release.registry.versions import production

pytestmark = pytest.mark.soak

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def watched(settings: Settings, streamflow: Path) -> Watched:
    return watched_since(settings, [JANUARY, FEBRUARY], streamflow, backfill=False)


def result_of(world: dict[str, str], *words: str) -> dict[str, Any]:
    done = call_flows(world, *words, "--json")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in result, done.stderr[-4000:]
    return result


def test_januarys_model_on_february_is_an_error_and_the_retrained_one_is_promoted(
    watched: Watched, world: dict[str, str]
) -> None:
    watched.answer("1", 0, 1)
    before = result_of(world, "monitor", "churn")
    aucs = [each for each in before["figures"] if (each["subject"], each["metric"]) == ("performance", "auc")]
    assert [each["verdict"] for each in aucs] == ["ok", "alarm"]
    assert aucs[1]["value"] == pytest.approx(0.49, abs=0.02)
    alerts = {each["rule"]: each for each in before["alerts"]}
    assert alerts["performance"]["severity"] == "error"
    after = result_of(world, "monitor", "churn", "--retrain")
    (done,) = after["retraining"]
    assert done["outcome"] == "Version 2 was trained as of 2024-02-29, and was promoted"
    current = production(watched.settings, watched.use_case)
    assert current is not None
    assert (current.version, current.facts.as_of) == ("2", FEBRUARY)
    assert not after["alerts"]
    assert {each["rule"] for each in after["closed"]} == set(alerts)
