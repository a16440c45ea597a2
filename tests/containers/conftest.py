"""One stack for all of these tests: built, brought up from nothing, and torn down, whatever happens.

`make test-containers`; ARGS='--stack FOLDER' keeps stack and images for the next call with the same folder.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from simulator import SimulationPlan, month_end_before, simulate
from tests.containers.engine import engine
from tests.containers.images import NAMES, WITH_MODEL, builders, remove, size
from tests.containers.stack_kit import Stack

USERS, MONTHS = 1500, 3
ACCOUNT: dict[str, str] = {}
Say = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stack", type=Path, help="Keep the stack, its images and its secrets; use them if they are.")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if ACCOUNT:
        terminalreporter.section("account")
        for what, text in ACCOUNT.items():
            terminalreporter.write_line(f"{what:45} {text}")


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Tells where it is, with the seconds since the beginning."""
    plugin = request.config.pluginmanager.get_plugin
    reporter, capture = plugin("terminalreporter"), plugin("capturemanager")
    begun = time.monotonic()

    def record(words: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"  [{time.monotonic() - begun:5.0f} s] {words}")
            reporter.flush()

    return record


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its secrets, ports and extracts, and an engine; nothing runs yet. All of it is gone afterwards."""
    ACCOUNT["engine"] = engine()
    kept: Path | None = request.config.getoption("stack")
    folder = kept.absolute() if kept else tmp_path_factory.mktemp("stack")
    name = f"asof-test-{folder.name if kept else uuid.uuid4().hex[:8]}"
    plan = SimulationPlan(month_end_before(datetime.now(UTC).date()), users=USERS, months=MONTHS)
    stack = Stack(folder, name, NAMES, users=_extracts(folder, plan), account=ACCOUNT)
    # The service takes the third month's end for now: so the second month is not too old, nor the third of the future.
    stack.prepare(FIRST_AS_OF=str(plan.as_of(0)), PREDICTION_CLOCK=f"{plan.last_as_of}T12:00:00Z")
    yield stack
    if not kept:
        stack.down()
        remove((*NAMES.values(), WITH_MODEL))


@pytest.fixture(scope="session")
def built(say: Say, prepared: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """The images, by the variables that name them: each is there when its future is done."""
    say(f"engine {ACCOUNT['engine']}; {prepared.name}")
    begun = time.monotonic()

    def build(variable: str, work: Callable[[], object]) -> None:
        work()
        ACCOUNT[f"image {NAMES[variable]}"] = f"{size(NAMES[variable])}, after {time.monotonic() - begun:.0f} s"
        say(f"built {NAMES[variable]}: {ACCOUNT[f'image {NAMES[variable]}']}")

    work = builders(prepared, tmp_path_factory.mktemp("bentoml"))
    with ThreadPoolExecutor(3) as pool:
        yield {variable: pool.submit(build, variable, each) for variable, each in work.items()}


@pytest.fixture(scope="session")
def stack(say: Say, built: dict[str, Future[None]], prepared: Stack) -> Stack:
    """The stack, brought up by one `up -d`, with two months in it and the third one waiting."""
    for variable in ("FLOWS_IMAGE", "MLFLOW_IMAGE", "PREDICTION_IMAGE"):
        built[variable].result()
    say("up -d")
    begun = time.monotonic()
    prepared.compose("up", "-d", within=1200)
    ACCOUNT["`up -d` returns"] = f"after {time.monotonic() - begun:.0f} s"
    prepared.wait_until_ready(within=600)
    ACCOUNT["from nothing to a served prediction"] = f"{time.monotonic() - begun:.0f} s"
    say(f"the service is ready, {ACCOUNT['from nothing to a served prediction']} from nothing")
    return prepared


def _extracts(folder: Path, plan: SimulationPlan) -> tuple[str, ...]:
    """Simulated once: two months to begin with, and a third that a test delivers. The ids of users in all of them."""
    staged = folder / "staged"
    if not staged.exists():
        simulate(plan, staged)
        for each in ("month_000", "labels_000", "month_001"):
            shutil.copytree(staged / each, folder / "extracts" / each)
    months = [pd.read_csv(staged / f"month_{number:03}" / "users.csv")["user_id"] for number in range(MONTHS)]
    return tuple(sorted(set.intersection(*map(set, months)))[:20])
