"""Builds the image of a Bento with `bentoml containerize` and the installed container engine."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from asof.errors import ConfigurationError

IMAGE = "asof-prediction"
ENGINES = ("docker", "podman", "buildah")
"""In order of preference."""

END_SECONDS = 10
"""After which an interrupted build is killed."""

# The OCI format, the default of the other engines, has no health check.
DOCKER_FORMAT = {"BUILDAH_FORMAT": "docker"}
NO_BUILDKIT = {"DOCKER_BUILDKIT": "0"}


@dataclass(frozen=True)
class Image:
    """An image: its Bento, its names, and the engine that stores it."""

    bento: str
    names: tuple[str, ...]
    engine: str


def containerize(bento: str, base: str | None = None, *, name: str | None = None, engine: str | None = None) -> Image:
    """Builds the image of a Bento `name:version`; the engine's output goes to stderr.

    The image gets the names `asof-prediction:VERSION` and `asof-prediction:latest`, or only `name`. `base` replaces the
    base image of bentofile.yaml. Raises ConfigurationError if there is no engine, it does not answer or it fails.
    """
    chosen = engine or _first_engine()
    _check_engine(chosen)
    names = (name,) if name else (f"{IMAGE}:{bento.partition(':')[2]}", f"{IMAGE}:latest")
    command = ["containerize", bento, "--backend", chosen, *(word for each in names for word in ("--image-tag", each))]
    if base:
        command += ["--opt", f"build-arg=BASE_IMAGE={base}"]
    if _run([sys.executable, "-m", "bentoml", *command], {**environment(chosen), **os.environ}):
        raise ConfigurationError(f"{chosen} failed to build the image of {bento}; see its output above.")
    return Image(bento, names, chosen)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit code. An interruption ends the command and the engine's client, which is a process of its own."""
    # BentoML 1.4.36 and later read a Bento's template only from below the working folder (bentoml/BentoML#5566).
    folder = tempfile.gettempdir()
    with subprocess.Popen(command, env=dict(variables), cwd=folder, stdout=sys.stderr, process_group=0) as process:  # noqa: S603
        try:
            return process.wait()
        except BaseException:
            _end_group(process)
            raise


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)


def environment(engine: str) -> dict[str, str]:
    """Variables for the engine; those of the caller's environment override them."""
    if engine != "docker":
        return {**DOCKER_FORMAT, **NO_BUILDKIT}
    return {} if _succeeds("docker", "buildx", "version") else NO_BUILDKIT


def _first_engine() -> str:
    engine = next(filter(shutil.which, ENGINES), None)
    if engine is None:
        raise ConfigurationError("No container engine was found: install Docker, Podman or Buildah.")
    return engine


def _check_engine(engine: str) -> None:
    if shutil.which(engine) is None:
        raise ConfigurationError(f"{engine} is not installed. Supported engines: {', '.join(ENGINES)}.")
    if not _succeeds(engine, "info"):
        raise ConfigurationError(
            f"{engine} is installed but does not answer. Start it, then check with `{engine} info`."
        )


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
