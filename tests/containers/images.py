"""The stack's images, built from this checkout under names of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.containers.stack_kit import Stack, run

PROMETHEUS = """
FROM python:3.11-slim
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus \
 && rm -rf /var/lib/apt/lists/* && install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
"""
"""Where no image registry is reached; the stack's own default is prom/prometheus."""

NAMES = {
    "FLOWS_IMAGE": "asof-test-flows",
    "MLFLOW_IMAGE": "asof-test-mlflow",
    "PREDICTION_IMAGE": "asof-test-prediction:code",
    "PROMETHEUS_IMAGE": "asof-test-prometheus",
}
WITH_MODEL = "asof-test-prediction:model"
CLASSIC = {**os.environ, "DOCKER_BUILDKIT": "0"}


def builders(stack: Stack, bentoml_home: Path) -> dict[str, Callable[[], object]]:
    """What builds each image, by the variable that names it."""
    return {
        "FLOWS_IMAGE": lambda: stack.compose("build", "prefect", within=1500, CODE_VERSION=commit()),
        "MLFLOW_IMAGE": lambda: stack.compose("build", "mlflow", within=1500),
        "PREDICTION_IMAGE": lambda: prediction_image(bentoml_home, NAMES["PREDICTION_IMAGE"]),
        "PROMETHEUS_IMAGE": lambda: _build_prometheus(NAMES["PROMETHEUS_IMAGE"]),
    }


def prediction_image(bentoml_home: Path, name: str, *bento: str) -> None:
    """The image of a Bento (`--bento TAG`), or of the code alone."""
    words = (sys.executable, "-m", "flows", "image", "churn", "--engine", "docker", "--name", name, *bento)
    run(*words, within=1500, env={**CLASSIC, "BENTOML_HOME": str(bentoml_home)})


def commit() -> str:
    return run("git", "rev-parse", "HEAD").strip()


def size(image: str) -> str:
    (image_info,) = json.loads(run("docker", "image", "inspect", image))
    return f"{image_info['Size'] / 1e6:,.0f} MB"


def remove(images: tuple[str, ...]) -> None:
    subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)


def _build_prometheus(name: str) -> None:
    run("docker", "build", "-q", "-t", name, "-", within=1500, env=CLASSIC, input=PROMETHEUS)
