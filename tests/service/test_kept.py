"""Services whose workers, shipper, ledger database or disk fail under load: what they say they keep, is kept once."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from asof.ledger.spool.shipper import State
from asof.settings import Settings
from tests.kits.machine.databases import fresh
from tests.kits.service import serving as kit
from tests.kits.service.churn_service import MANY
from tests.kits.service.ledger import rows, ship
from tests.kits.service.small_model import SmallModel

USERS = list(MANY)
KINDS = (("worker", "worker.service"), ("shipper", "asof.serving.ledger"))
"""What is killed in turns, and a word of its command line."""
IDS = "SELECT caller_id, count(*) FROM ledger.predictions WHERE caller_id IS NOT NULL GROUP BY 1"


@pytest.fixture(scope="module")
def model(small_model: SmallModel, settings: Settings) -> SmallModel:
    kit.write_contract_users(settings, MANY)
    return small_model


@contextlib.contextmanager
def kept_service(model: SmallModel, settings: Settings, folder: Path, **variables: str) -> Iterator[httpx.Client]:
    """A service that keeps its answers in `folder/spool`, alone in the ledger; two workers."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ledger CASCADE")
    spool = {"ASOF_LEDGER": "process", "ASOF_LEDGER_SPOOL": str(folder / "spool"), "ASOF_WORKERS": "2"}
    clock = {"ASOF_CLOCK": kit.NOW.isoformat()}
    (folder / "run").mkdir()
    with kit.serving(settings, model.bundle.bento_tag, folder / "run", **(clock | spool | variables)) as client:
        yield client


class Load:
    """Clients that ask until they are stopped, each request with an id of its own; `said` has the word for each."""

    def __init__(self, client: httpx.Client) -> None:
        self._address, self._numbers = str(client.base_url), iter(range(10**9))
        self.said: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.stop = asyncio.Event()

    async def run(self, clients: int = 8) -> None:
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(base_url=self._address, timeout=60, limits=limits) as session:
            await asyncio.gather(*(self._ask(session) for _ in range(clients)))

    async def _ask(self, session: httpx.AsyncClient) -> None:
        while not self.stop.is_set():
            number = next(self._numbers)
            try:
                answer = await session.post(
                    "/predict", json={"user_id": USERS[number % len(USERS)]}, headers={"X-Request-ID": f"r-{number}"}
                )
            except httpx.TransportError:  # its worker was killed
                await asyncio.sleep(0.01)
                continue
            self.said[f"r-{number}"] = answer.headers.get("AsOf-Kept", "")
            self.statuses[answer.status_code] += 1


def processes(spool: Path, word: str) -> list[psutil.Process]:
    """Those of one service whose command line has the word."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ().get("ASOF_LEDGER_SPOOL") == str(spool)
            if own and word in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until_shipped(spool: Path, settings: Settings, ids: set[str]) -> Counter[str]:
    """How often each id is in the ledger, once all of `ids` are."""
    kept: Counter[str] = Counter()
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            kept = Counter(dict(rows(settings, IDS)))
        if ids <= kept.keys():
            break
        time.sleep(0.2)
    return kept


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_every_answer_that_said_process_is_in_the_ledger_once(
    model: SmallModel, settings: Settings, tmp_path: Path, kills: int
) -> None:
    draw, killed, spool = random.Random(kills), Counter[str](), tmp_path / "spool"

    async def story(load: Load) -> None:
        while killed.total() < kills:
            await asyncio.sleep(draw.random() * 1.5)
            kind, word = KINDS[killed.total() % len(KINDS)]
            victims = await asyncio.to_thread(processes, spool, word)
            if victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    draw.choice(victims).send_signal(signal.SIGKILL)
                    killed[kind] += 1
        load.stop.set()

    async def run(load: Load) -> None:
        await asyncio.gather(load.run(), story(load))

    with kept_service(model, settings, tmp_path) as client:
        load = Load(client)
        asyncio.run(run(load))
        promised = {each for each, word in load.said.items() if word == "process"}
        kept = wait_until_shipped(spool, settings, promised)
    assert len(promised) > 20 * kills
    assert min(killed["worker"], killed["shipper"]) > 0
    assert promised - kept.keys() == set()
    assert [each for each, count in kept.items() if count > 1] == []
    assert set(load.said.values()) <= {"process", ""}


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_without_the_ledgers_database_no_answer_fails_and_none_is_lost(
    model: SmallModel, settings: Settings, mlflow_tables: str, tmp_path: Path, server: Settings, seconds: int
) -> None:
    with fresh(server, tmp_path / "home") as apart:
        ledger = apart.database().render_as_string(hide_password=False)
        own = settings.model_copy(update={"ledger_url": SecretStr(ledger)})

        async def run(load: Load) -> None:
            asking = asyncio.create_task(load.run())
            await asyncio.sleep(2)
            _allow(server, apart, False)
            await asyncio.sleep(seconds)
            during = len(load.said)
            _allow(server, apart, True)
            await asyncio.sleep(0.5)
            load.stop.set()
            await asking
            assert during > 20 * seconds

        with kept_service(model, own, tmp_path, ASOF_LEDGER_URL=ledger) as client:
            load = Load(client)
            asyncio.run(run(load))
            kept = wait_until_shipped(tmp_path / "spool", own, set(load.said))
    assert set(load.statuses) == {200}
    assert set(load.said.values()) == {"process"}
    assert kept == Counter(dict.fromkeys(load.said, 1))


def _allow(server: Settings, database: Settings, allowed: bool) -> None:
    """Whether anybody may connect to a database; who is connected, is disconnected."""
    name = database.database().database
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        statement = "ALTER DATABASE {} ALLOW_CONNECTIONS " + ("true" if allowed else "false")
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))  # type: ignore[arg-type]
        if not allowed:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_full_spool_stops_no_answer_and_what_is_missing_was_told(
    model: SmallModel, settings: Settings, tmp_path: Path
) -> None:
    full = {"ASOF_LEDGER_SPOOL_BYTES": "60000", "ASOF_LEDGER_SHIP": "False"}
    with kept_service(model, settings, tmp_path, **full) as client:
        said = {}
        for number in range(400):
            answer = client.post("/predict", json={"user_id": USERS[number]}, headers={"X-Request-ID": f"f-{number}"})
            assert answer.status_code == 200
            said[f"f-{number}"] = answer.headers["AsOf-Kept"]
        batch = client.post("/predict/batch", json={"instances": [{"user_id": each} for each in USERS[:50]]}).json()
        counted = {word: metric(client, f'asof_ledger_answers_total{{kept="{word}"}}') for word in ("process", "none")}
        lost = metric(client, 'asof_ledger_lost_total{reason="full"}')
    assert {each["kept"] for each in batch["predictions"]} == {"none"}
    words = Counter(said.values())
    assert 50 < words["process"] < 350
    assert counted == {"process": words["process"], "none": words["none"] + 50}
    assert lost == words["none"] + 50
    ship(settings, tmp_path / "spool")
    kept = dict(rows(settings, IDS))
    assert kept.keys() == {each for each, word in said.items() if word == "process"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.soak
def test_a_full_disk_stops_no_answer_and_what_is_missing_was_told(
    model: SmallModel, settings: Settings, tmp_path: Path, small_disk: Path
) -> None:
    users = {"instances": [{"user_id": USERS[number % len(USERS)]} for number in range(10_000)]}
    said: Counter[str] = Counter()
    full = {"ASOF_LEDGER_SPOOL": str(small_disk / "spool"), "ASOF_LEDGER_SHIP": "False", "ASOF_WORKERS": "1"}
    with kept_service(model, settings, tmp_path, **full) as client:
        for _ in range(6):
            batch = client.post("/predict/batch", json=users).json()
            said.update(each["kept"] for each in batch["predictions"] if "problem" not in each)
        for number in range(50):
            answer = client.post("/predict", json={"user_id": USERS[number]})
            assert answer.status_code == 200
            said[answer.headers["AsOf-Kept"]] += 1
        lost = metric(client, "asof_ledger_lost_total")
    ship(settings, small_disk / "spool")
    assert said.total() == 60_050
    assert 20_000 < said["process"] < 50_000
    assert lost == said["none"]
    assert rows(settings, "SELECT count(*) FROM ledger.predictions") == [(said["process"],)]


def test_a_required_ledger_that_is_full_is_a_503(model: SmallModel, settings: Settings, tmp_path: Path) -> None:
    full = {"ASOF_LEDGER_SPOOL_BYTES": "1", "ASOF_LEDGER_REQUIRED": "True"}
    with kept_service(model, settings, tmp_path, **full) as client:
        answer = client.post("/predict", json={"user_id": USERS[0]})
        batch = client.post("/predict/batch", json={"instances": [{"user_id": USERS[0]}]})
    assert (answer.status_code, answer.json()["code"], answer.headers["AsOf-Kept"]) == (503, "ledger-full", "none")
    assert answer.headers["Retry-After"] == "1"
    (item,) = batch.json()["predictions"]
    assert (item["problem"]["status"], item["problem"]["code"], item["kept"]) == (503, "ledger-full", "none")


def test_the_shipper_ends_with_its_service_and_leaves_nothing_behind(
    model: SmallModel, settings: Settings, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with kept_service(model, settings, tmp_path) as client:
        for user in USERS[:20]:
            client.post("/predict", json={"user_id": user})
        kit.eventually(lambda: len(processes(spool, "asof.serving.ledger")) == 1, 30, tmp_path / "run" / "log")
        kit.eventually(lambda: metric(client, "asof_ledger_shipped") >= 20, 30, tmp_path / "run" / "log")
    kit.eventually(lambda: not processes(spool, "asof.serving.ledger"), 30, tmp_path / "run" / "log")
    assert not list(spool.glob("*.frames"))
    assert State(**json.loads((spool / "shipper.json").read_text())).error == ""
    assert rows(settings, "SELECT count(*) FROM ledger.predictions") == [(20,)]
