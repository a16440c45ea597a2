"""The image before it is built: what its Dockerfile says, what is cut away, what is asked of which engine."""

import os
import runpy
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import yaml

from asof.errors import ConfigurationError
from asof.settings import PROJECT
from local.stack.image import containerize, environment

FOLDER = PROJECT / "deploy" / "image"


@pytest.fixture
def dockerfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """As BentoML makes it of bentofile.yaml; with or without a model, for any use case, it is the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec
        from bentoml._internal.bento.build_config import CondaOptions, DockerOptions
        from bentoml._internal.container.generate import generate_containerfile

    monkeypatch.chdir(PROJECT)
    options = DockerOptions(**yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["docker"])
    return generate_containerfile(options, str(PROJECT), conda=CondaOptions(), bento_fs=tmp_path, enable_buildkit=False)


def test_packages_are_installed_by_their_hashes_from_the_lock_itself(dockerfile: str) -> None:
    (install,) = (line for line in dockerfile.splitlines() if "pip" in line and " install " in line)
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())
    assert "/build/serve.txt" in install
    assert "install.sh" not in dockerfile
    assert "COPY src/requirements/serve.txt" in dockerfile


def test_the_base_is_an_argument_of_both_stages_and_no_host_is_named(dockerfile: str) -> None:
    froms = [line for line in dockerfile.splitlines() if line.startswith("FROM")]
    assert froms == ["FROM ${BASE_IMAGE} AS build", "FROM ${BASE_IMAGE}"]
    assert "ARG BASE_IMAGE=python:3.11-slim" in dockerfile
    assert "://" not in dockerfile


def test_an_ordinary_user_runs_it_and_owns_none_of_its_files(dockerfile: str) -> None:
    last = dockerfile.rpartition("FROM ")[2]
    assert "USER 1034:1034" in last
    assert "--chown" not in dockerfile
    assert "HEALTHCHECK" in last
    assert "ASOF_LOG_FORMAT=json" in last


def test_the_image_is_trimmed_of_tests_and_headers_but_of_no_imported_module(tmp_path: Path) -> None:
    trim = runpy.run_path(str(FOLDER / "trim.py"))["trim"]
    for name in ("numpy/tests/test_a.py", "numpy/core/x.h", "numpy/__init__.pyi", "numpy/testing/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345")
    assert trim(tmp_path) == 15
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py")] == ["numpy/testing/__init__.py"]


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1)])
def test_the_health_check_follows_readyz(status: str, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())

        threading.Thread(target=answer, daemon=True).start()
        assert _check(server.getsockname()[1]) == code


def test_the_health_check_fails_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert _check(port) == 1


def _check(port: int) -> int:
    words = [sys.executable, "-I", "-S", FOLDER / "ready.py"]
    return subprocess.run(words, env={"BENTOML_PORT": str(port)}, capture_output=True, check=False).returncode


def _engine(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_an_engine_the_message_lists_the_supported_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install Docker, Podman or Buildah"):
        containerize("name:tag")
    with pytest.raises(ConfigurationError, match="buildah is not installed"):
        containerize("name:tag", engine="buildah")


def test_an_engine_that_does_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _engine(tmp_path, "docker", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="docker is installed but does not answer"):
        containerize("name:tag")


def test_the_classic_builder_is_used_without_buildx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _engine(tmp_path, "docker", '[ "$1" != buildx ]')
    assert environment("docker") == {"DOCKER_BUILDKIT": "0"}
    _engine(tmp_path, "docker", "exit 0")
    assert environment("docker") == {}
    assert environment("buildah")["BUILDAH_FORMAT"] == "docker"
