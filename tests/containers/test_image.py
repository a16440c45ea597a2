"""The image of a Bento with a model, by itself: what is in it, who it is, what it says, how it stops."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from packaging.requirements import Requirement

from asof.settings import PROJECT, Settings, export
from asof.use_cases import load
from local.stack.image import containerize
from tests.containers.image_kit import Container, SlowRequest, docker, running
from tests.kits.service import serving as kit
from training.features.materialisation.feature_registry import apply_features
from training.release.bundling.bundle import bundle

IMAGE = "asof-test-image:model"
UID = 1034
INSTALLED = "import importlib.metadata as m; print('\\n'.join(f'{d.name}=={d.version}' for d in m.distributions()))"


@pytest.fixture(scope="module")
def image(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built once; a user in the online store beside it."""
    kit.bentoml_home(tmp_path_factory)
    export(settings)
    apply_features(settings)
    version, _ = kit.register_small_model(settings, kit.registered_contract(settings))
    kit.write_users(settings, {"good": kit.USER}, kit.NOW)
    containerize(bundle(settings, load("churn"), version).bento_tag, name=IMAGE, engine="docker")
    yield IMAGE
    subprocess.run(["docker", "image", "rm", "--force", IMAGE], capture_output=True, check=False)


@pytest.fixture(scope="module")
def container(image: str, settings: Settings) -> Iterator[Container]:
    with running(image, settings, ASOF_CLOCK=kit.NOW.isoformat()) as container:
        container.wait_until_ready()
        yield container


def _locked() -> set[str]:
    """What the lock has for this platform, as `name==version`."""
    lines = re.findall(
        r"^[A-Za-z0-9._-]+==[^\\\n]*", (PROJECT / "requirements" / "serve.txt").read_text(), re.MULTILINE
    )
    wanted = [Requirement(line) for line in lines]
    return {f"{each.name}{each.specifier}" for each in wanted if each.marker is None or each.marker.evaluate()}


def _normal(lines: str) -> set[str]:
    pairs = (line.partition("==") for line in lines.split())
    return {f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}" for name, _, version in pairs}


def test_it_holds_just_the_locked_packages(image: str) -> None:
    found = docker("run", "--rm", "--entrypoint", "python", image, "-I", "-c", INSTALLED)
    assert _normal(found) == _normal("\n".join(_locked()))


def test_it_holds_no_tools_no_caches_and_nothing_that_its_user_can_write(image: str) -> None:
    script = (
        "ls -d /root/.cache /build 2>/dev/null; which gcc cc make uv curl; "
        "ls /app/.venv/bin | grep -E '^(pip|uvx?)[0-9.]*$'; "
        "find / -xdev ! -type l -user 1034 ! -path /var/lib/asof ! -path /var/spool/asof; "
        "find /app /home -xdev ! -type l -perm /022"
    )
    words = ("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c")
    assert docker(*words, f"{script}; true") == ""
    own = [str(UID), str(UID), "700"]
    assert docker(*words, "stat -c '%u %g %a' /var/lib/asof /var/spool/asof").split() == own + own


def test_its_user_is_a_number_that_stays(image: str) -> None:
    assert json.loads(docker("inspect", image))[0]["Config"]["User"] == f"{UID}:{UID}"


def test_it_answers_without_rights_and_collects_nothing_about_its_users(container: Container) -> None:
    assert SlowRequest(container, "good").finish() == 200
    assert container.inside("find", "/tmp", "-path", "*icrosoft*") == ""  # ONNX Runtime's telemetry


def test_it_is_healthy_and_the_check_says_so_only_where_it_is_ready(container: Container) -> None:
    check = json.loads(docker("inspect", IMAGE))[0]["Config"]["Healthcheck"]["Test"][1:]
    assert "200" in container.inside(*check)
    deaf = ["exec", "-e", "BENTOML_PORT=9", container.name, *check]
    assert subprocess.run(["docker", *deaf], capture_output=True, check=False).returncode == 1


def test_the_code_is_compiled_and_no_source_is_compiled_again(container: Container) -> None:
    program = (
        "import importlib.util as u, pathlib; from bentoml import _version\n"
        "import starlette, asof.serving.api.routes as h\n"
        "print([pathlib.Path(u.cache_from_source(m.__file__)).read_bytes()[4] for m in (starlette, h)])"
    )
    words = ("exec", "-w", "/home/bentoml/bento/src", container.name, "python", "-c", program)
    assert docker(*words).strip() == "[1, 1]"  # unchecked, by hash (PEP 552)


def test_what_serves_a_model_that_is_not_compiled_or_a_store_of_others_is_whole(image: str) -> None:
    names = (
        *("sklearn.ensemble", "sklearn.compose", "skops.io", "pandas", "scipy.stats", "pyarrow.ipc", "pyarrow.parquet"),
        *("feast.feature_store", "feast.infra.registry.sql", "asof.serving.features.store.feast_api"),
        "feast.infra.online_stores.postgres_online_store.postgres",
        "feast.infra.offline_stores.contrib.postgres_offline_store.postgres",
    )
    words = ("run", "--rm", "--entrypoint", "python", "-w", "/home/bentoml/bento/src", image, "-c")
    assert docker(*words, f"import {', '.join(names)}; print('whole')") == "whole\n"


@pytest.mark.parametrize("workers", ["1", "3"])
def test_it_stops_within_ten_seconds_and_answers_what_it_has_begun(
    image: str, settings: Settings, workers: str
) -> None:
    with running(image, settings, ASOF_CLOCK=kit.NOW.isoformat(), ASOF_WORKERS=workers) as container:
        container.wait_until_ready()
        time.sleep(2)  # all workers, not the first alone
        slow = [SlowRequest(container, "good") for _ in range(24)]
        time.sleep(1)
        with ThreadPoolExecutor(1) as pool:
            begun = time.monotonic()
            stopping = pool.submit(docker, "stop", "-t", "10", container.name)
            time.sleep(2)
            answered = [each.finish() for each in slow]
            stopping.result()
        assert time.monotonic() - begun < 10
        assert answered == [200] * len(slow)
        assert (container.state()["ExitCode"], container.state()["OOMKilled"]) == (0, False)
        assert _json_lines(container)


def _json_lines(container: Container) -> list[dict[str, object]]:
    """Fails at a line that is none."""
    return [json.loads(line) for line in container.lines()]


def test_every_line_that_it_says_is_json(container: Container) -> None:
    SlowRequest(container, "good").finish()
    lines = _json_lines(container)
    assert any(line.get("path") == "/predict" and line["status"] == 200 for line in lines)
    logged = [line for line in lines if "logger" in line]
    assert logged
    assert all({"at", "level", "logger", "message"} <= line.keys() for line in logged)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ASOF_WORKERS": "none"}, "valid integer"),
        ({"ASOF_TRUSTED_KEYS": "nonsense"}, "ASOF_TRUSTED_KEYS"),
    ],
)
def test_even_what_stops_it_at_the_start_is_json(
    image: str, settings: Settings, variables: dict[str, str], said: str
) -> None:
    with running(image, settings, **variables) as container:
        docker("wait", container.name)
        lines = _json_lines(container)
        assert container.state()["ExitCode"] != 0
    assert any(said in f"{line.get('message')} {line.get('exception')}" for line in lines)
