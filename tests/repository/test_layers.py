"""The order of the service's layers: a fast lane behind BentoML's spans would be none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asof.settings import PROJECT

SCRIPT = """
import json
import sys
from pathlib import Path
import bentoml
from fastapi import FastAPI
from asof.serving.access.guard import AccessGuard
from asof.serving.logs.access_log import AccessLog
from asof.serving.app import AsOfService
from asof.settings import Settings

@bentoml.service(service_class=AsOfService, name="layers")
class Layers:
    pass

app = FastAPI()
app.state.guard = AccessGuard(Settings(_env_file=None, api_keys=Path(sys.argv[1]) if sys.argv[1:] else None))
app.state.lane, app.state.access_log = {"/predict": app}.get, AccessLog(on=False)
Layers.create = lambda: app
outermost = around = Layers.to_asgi()
names = [type(outermost).__name__]
while not hasattr(around.app, "user_middleware"):
    around = around.app
    names.append(type(around).__name__)
print(json.dumps([*names, *(layer.cls.__name__ for layer in around.app.user_middleware)]))
"""


def layers(folder: Path, *keys: str, **tracing: float) -> list[str]:
    """The layers from the outermost on, in a process of its own: BentoML's configuration is the process's."""
    config = folder / "bentoml.yaml"
    config.write_text(json.dumps({"services": {"layers": {"tracing": tracing}}} if tracing else {}))
    own = {"BENTOML_CONFIG": str(config), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *keys],
        cwd=PROJECT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


OURS = ["LoadShedding", "TrafficMetrics", "Boundary"]


def test_our_layers_are_outside_bentomls_spans_and_timeout_and_inside_its_metrics(tmp_path: Path) -> None:
    found = layers(tmp_path)
    assert found[:5] == [*OURS, "FastLane", "OpenTelemetryMiddleware"]
    assert "TimeoutMiddleware" in found[5:]


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_with_sampled_traces_no_fast_lane_bypasses_the_spans(tmp_path: Path, rate: float) -> None:
    assert layers(tmp_path, sample_rate=rate)[:4] == [*OURS, "OpenTelemetryMiddleware"]


def test_authentication_is_the_outermost_layer_if_keys_are_set(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# no keys")
    assert layers(tmp_path, str(keys))[:4] == ["Authentication", *OURS]
