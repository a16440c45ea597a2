"""A Bento -> its image, by `bentoml containerize` and the engine that is here."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from asof.errors import ConfigurationError

IMAGE = "asof-prediction"
ENGINES = ("docker", "podman", "buildah")
"""In the order in which they are looked for."""

# Docker keeps the health check; the OCI format, which the others write by default, has no place for one.
HEALTH_CHECK = {"BUILDAH_FORMAT": "docker"}
CLASSIC = {"DOCKER_BUILDKIT": "0"}


@dataclass(frozen=True)
class Image:
    """The Bento inside, the image's names, and the engine whose store holds it."""

    bento: str
    names: tuple[str, ...]
    engine: str


def containerize(bento: str, base: str | None = None, *, name: str | None = None, engine: str | None = None) -> Image:
    """Builds the image of a Bento `name:version`; what the engine tells goes to stderr.

    Its names are `asof-prediction:VERSION` and `asof-prediction:latest`, or `name` alone. `base` replaces the base
    image of bentofile.yaml. Raises ConfigurationError where there is no engine, where it does not answer, or where it
    does not build.
    """
    chosen = engine or _first_engine()
    _ask(chosen)
    names = (name,) if name else (f"{IMAGE}:{bento.partition(':')[2]}", f"{IMAGE}:latest")
    words = ["containerize", bento, "--backend", chosen, *(word for each in names for word in ("--image-tag", each))]
    if base:
        words += ["--opt", f"build-arg=BASE_IMAGE={base}"]
    # BentoML 1.4.36 and later read a Bento's template only from below the working folder (bentoml/BentoML#5566).
    done = subprocess.run(  # noqa: S603 - a list of words of our own, no shell
        [sys.executable, "-m", "bentoml", *words],
        env={**environment(chosen), **os.environ},
        cwd=tempfile.gettempdir(),
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise ConfigurationError(f"{chosen} did not build the image of {bento}: what it said stands above.")
    return Image(bento, names, chosen)


def environment(engine: str) -> dict[str, str]:
    """What the engine needs, unless the caller's environment says otherwise."""
    if engine != "docker":
        return {**HEALTH_CHECK, **CLASSIC}
    return {} if _succeeds("docker", "buildx", "version") else CLASSIC


def _first_engine() -> str:
    found = next(filter(shutil.which, ENGINES), None)
    if found is None:
        raise ConfigurationError("No container engine is here: install Docker, Podman or Buildah.")
    return found


def _ask(engine: str) -> None:
    if shutil.which(engine) is None:
        raise ConfigurationError(f"{engine} is not installed; this knows {', '.join(ENGINES)}.")
    if not _succeeds(engine, "info"):
        raise ConfigurationError(f"{engine} is installed, but does not answer: start it, then `{engine} info` tells.")


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0  # noqa: S603
