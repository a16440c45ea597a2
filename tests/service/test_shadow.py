"""The built Bento with a challenger beside it: versions of the registry, and challengers that fail, crash or hang.

A file `sitecustomize.py` on the path, which every Python process imports, spoils the challenger's process alone.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from asof.features.feature_contract import FeatureContract
from asof.files import try_lock
from asof.serving.shadow.state import lock_file
from asof.settings import Settings
from asof.use_cases import load
from monitoring.shadow.compare import EVER, compare
from tests.kits.service import following as follow
from tests.kits.service import serving as kit
from tests.kits.service.following import MlflowServer, Variant
from tests.kits.service.small_model import SmallModel
from training.release.registry.versions import ModelVersion

USERS = kit.users_like(300, seed=5)
SPOIL = """
import os, signal, sys
from pathlib import Path
if "asof.serving.shadow" in sys.orig_argv:
    from asof.inference import runtime
    from asof.serving.shadow.limits import watchdog
    watchdog.watched.__wrapped__.__defaults__ = (0.5, 20.0)
    whole = runtime.Onnx.predict
    def predict(self, arrays):
        how = Path({control!r}).read_text()
        if how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while how == "hang":
            pass
        if how == "raise":
            raise RuntimeError("spoiled")
        return [2.5 for _ in whole(self, arrays)] if how == "wrong" else whole(self, arrays)
    runtime.Onnx.predict = predict
"""
SEEDS = itertools.count(100)
ANSWERS = """
SELECT p.score, p.entity, m.version, s.score, s.decision, s.code, c.version, s.entity
FROM ledger.predictions p JOIN ledger.models m ON m.id = p.model
JOIN ledger.shadow_scores s USING (at, request) JOIN ledger.models c ON c.id = s.model
WHERE p.code IS NULL AND p.status = 200 AND p.item IS NOT DISTINCT FROM s.item ORDER BY p.at, p.item"""


@dataclass(frozen=True)
class Shadowed:
    """A service that follows Production, and is shadowed by the newest version."""

    client: httpx.Client
    settings: Settings
    folder: Path
    contract: FeatureContract

    @property
    def shadow(self) -> dict[str, Any]:
        shadow: dict[str, Any] = self.client.get("/model").json()["shadow"]
        return shadow

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def publish(self, **variant: Any) -> ModelVersion:
        return follow.publish(self.settings, self.contract, Variant(next(SEEDS), compiled=True, **variant))

    def scoring(self) -> ModelVersion:
        """A new challenger that scores."""
        new = self.publish()
        self.until(lambda: (each := self.shadow)["version"] == new.version and each["status"] == "scoring")
        return new

    def spoil(self, how: str) -> None:
        (self.folder / "control").write_text(how)

    def until(self, holds: Callable[[], bool]) -> None:
        kit.eventually(holds, 60, self.folder / "log")

    def predict(self, count: int) -> None:
        for user in list(USERS)[:count]:
            assert self.client.post("/predict", json={"user_id": user}).status_code == 200

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.ledger_conninfo()) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def codes(self, version: ModelVersion) -> dict[str | None, int]:
        """The number of its shadow scores by code."""
        query = """
        SELECT s.code, count(*) FROM ledger.shadow_scores s JOIN ledger.models m ON m.id = s.model
        WHERE m.run_id = %s GROUP BY s.code"""
        return dict(self.rows(query, version.run_id))

    @contextlib.contextmanager
    def counting(self, answers: int) -> Iterator[None]:
        """Waits until it is known of each answer in the block whether it was scored, or why not."""
        before = total(self.shadow)
        yield
        self.until(lambda: total(self.shadow) - before == answers)

    def dropped(self, reason: str) -> int:
        """The number of answers since the start that were not scored for this reason."""
        return int(self.shadow["dropped"].get(reason, 0))


def total(shadow: dict[str, Any]) -> int:
    return int(shadow["scored"] + shadow["failed"] + sum(shadow["dropped"].values()))


@pytest.fixture(scope="module")
def mlflow(
    settings: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    kit.write_users(settings, {"good": kit.USER, **USERS}, kit.NOW)
    with follow.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module")
def service(
    settings: Settings, small_model: SmallModel, mlflow: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shadowed]:
    first = follow.publish(settings, small_model.contract, Variant(11, compiled=True))
    follow.promote(settings, first)
    folder = tmp_path_factory.mktemp("shadowed")
    (folder / "control").write_text("")
    (folder / "poison").mkdir()
    (folder / "poison" / "sitecustomize.py").write_text(SPOIL.format(control=str(folder / "control")))
    variables = {
        "ASOF_FOLLOW": "production",
        "ASOF_FOLLOW_SECONDS": "0.2",
        "ASOF_CLOCK": kit.NOW.isoformat(),
        "ASOF_REGISTRY_URL": mlflow.address,
        "ASOF_LEDGER": "process",
        "ASOF_LEDGER_SPOOL": str(folder / "ledger"),
        "ASOF_SHADOW": "newest",
        "ASOF_SHADOW_SHARE": "1",
    }
    with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
        follow.wait_for(client, first.version, folder / "log")
        own = settings.model_copy(update={"ledger_spool": folder / "ledger"})
        yield Shadowed(client, own, folder, small_model.contract)
    kit.eventually(lambda: _is_free(own), 60, folder / "log")


def _is_free(settings: Settings) -> bool:
    """Whether the challenger's process has ended, as it does after the last worker."""
    file = try_lock(lock_file(settings.ledger_folder, kit.NAME))
    if file:
        file.close()
    return file is not None


def test_while_the_newest_version_is_in_production_nothing_shadows_it(service: Shadowed) -> None:
    service.until(lambda: service.shadow["status"] == "idle")
    shadow, model = service.shadow, service.client.get("/model").json()
    assert shadow["version"] is None
    assert shadow["why"] == f"Version {model['version']} is in Production itself."


def test_each_answer_has_the_challengers_score_of_the_same_values(service: Shadowed) -> None:
    champion, second = service.client.get("/model").json()["version"], service.scoring()
    body = {"instances": [{"user_id": user} for user in [*USERS, "0000-NOBODY"]]}
    with service.counting(50 + len(USERS)):
        service.predict(50)
        assert service.client.post("/predict/batch", json=body).status_code == 200
    assert service.shadow["failed"] == 0
    service.until(lambda: service.codes(second).get(None, 0) == service.shadow["scored"] > 50)
    found = compare(service.settings, load("churn"), since=EVER)
    assert (found.challenger, found.champion, found.tally.failed) == (second.version, champion, 0)
    assert found.tally.scored == service.codes(second)[None]
    rows = service.rows(ANSWERS)
    follow.promote(service.settings, second)
    follow.wait_for(service.client, second.version, service.folder / "log")
    assert any(row[0] != row[3] for row in rows)
    for _, entity, version, other, decision, code, challenger, shadowed in rows[::10]:
        answer = service.client.post("/predict", json={"user_id": entity}).json()
        assert (version, challenger, code, shadowed) == (champion, second.version, None, entity)
        assert other == pytest.approx(answer["probability"], abs=1e-12)
        assert decision == int(answer["churn"])


@pytest.mark.parametrize(
    ("how", "code"), [("crash", "crashed"), ("hang", "crashed"), ("raise", "failed"), ("wrong", "failed")]
)
def test_a_spoiled_challenger_costs_no_answer_and_pauses_and_says_so_once(
    service: Shadowed, how: str, code: str
) -> None:
    version, paused = service.scoring(), service.dropped("paused")
    with service.counting(35):
        service.spoil(how)
        for _ in range(3):
            before = total(service.shadow)
            service.predict(5)
            service.until(lambda before=before: total(service.shadow) > before)  # type: ignore[misc]
        service.until(lambda: service.shadow["status"] == "paused")
        service.predict(20)
    service.spoil("")
    assert service.dropped("paused") - paused >= 20
    service.until(lambda: service.codes(version).keys() == {code})
    assert service.log.count(f"Shadow: version {version.version} is paused") == 1
    service.until(lambda: "asof_shadow_paused 1.0" in service.client.get("/metrics").text)


def test_a_killed_worker_loses_no_answer_and_the_challenger_scores_on(service: Shadowed) -> None:
    version = service.scoring()
    with service.counting(40):
        service.predict(20)
        _worker(service).kill()
        service.until(lambda: service.client.get("/readyz").status_code == 200)
        service.predict(20)
    service.until(lambda: service.codes(version) == {None: 40})


def test_a_version_that_no_trusted_key_signed_is_refused_and_its_answers_are_counted(service: Shadowed) -> None:
    new = service.publish(sealed=False)
    service.until(lambda: (each := service.shadow)["version"] == new.version and each["status"] == "refused")
    assert "is not signed" in service.shadow["why"]
    before = service.dropped("refused")
    with service.counting(5):
        service.predict(5)
    assert service.dropped("refused") == before + 5


def test_a_challenger_that_takes_other_features_is_refused_and_its_answers_are_counted(service: Shadowed) -> None:
    more = service.publish(contract=kit.registered_contract(service.settings, "churn_v1"))
    service.until(lambda: (each := service.shadow)["version"] == more.version and each["status"] == "scoring")
    before = service.dropped("features")
    with service.counting(5):
        service.predict(5)
    assert service.dropped("features") == before + 5
    service.until(lambda: service.shadow["status"] == "refused")
    assert "avg_session_mins_7d" in service.shadow["why"]


def _worker(service: Shadowed) -> psutil.Process:
    path = str(service.folder / "ledger" / f"shadow-{kit.NAME}.workers")
    (found, *_) = (each for each in psutil.process_iter() if path in _open_files(each))
    return found


def _open_files(process: psutil.Process) -> set[str]:
    try:
        return {each.path for each in process.open_files()}
    except psutil.Error:
        return set()
