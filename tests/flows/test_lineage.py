"""OpenLineage events: their form, what they name, and sinks that work, fail and are away."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from asof.errors import DataError
from asof.settings import Settings
from asof.use_cases import load
from flows import deployments
from flows.lineage import datasets, sink
from flows.lineage.datasets import Done
from flows.lineage.emitting import emits_lineage
from flows.lineage.events import Dataset, Datasets, Event, EventType, Run
from flows.stages.bundle import bundle
from flows.stages.ingest import ingest
from flows.stages.retrain import retrain
from flows.terminal.runs import run_flow
from simulator import SimulationPlan, simulate
from tests.kits.machine.free_port import free_port
from tests.kits.service import serving as kit

PLAN = SimulationPlan(date(2026, 10, 31), users=150, months=1)
FACET = {"_producer", "_schemaURL"}


def check_event(event: Mapping[str, Any]) -> None:
    """What OpenLineage's schema (2-0-2) requires of a RunEvent and of each facet."""
    assert set(event) == {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
    assert datetime.fromisoformat(event["eventTime"]).tzinfo
    assert event["schemaURL"].endswith("/OpenLineage.json#/$defs/RunEvent")
    assert UUID(event["run"]["runId"])
    assert {"namespace", "name"} <= set(event["job"])
    every = [*event["inputs"], *event["outputs"]]
    assert all({"namespace", "name", "facets"} <= set(each) for each in every)
    holders = [event["run"], event["job"], *every]
    facets = [facet for each in holders for facet in each["facets"].values()]
    facets += [facet for each in every for facet in each.get("outputFacets", {}).values()]
    assert facets
    for facet in facets:
        assert set(facet) > FACET
        assert re.fullmatch(r"https://openlineage.io/spec/facets/[\d-]+/(\w+)\.json#/\$defs/\1", facet["_schemaURL"])


def events(file: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in file.read_text().splitlines()]
    for each in found:
        check_event(each)
    return found


@pytest.fixture
def file(tmp_path: Path, world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sink of the stages in this process."""
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "below" / "lineage.jsonl"
    monkeypatch.setenv("ASOF_OPENLINEAGE_URL", f"file://{file}")
    return file


def test_an_ingest_names_its_files_with_their_digests_and_its_tables(
    file: Path, tmp_path: Path, settings: Settings
) -> None:
    simulate(PLAN, tmp_path / "extracts")
    ingest(str(tmp_path / "extracts"), PLAN.as_of(0), use_case="churn")
    started, done = events(file)
    assert (started["eventType"], done["eventType"]) == ("START", "COMPLETE")
    assert started["run"]["runId"] == done["run"]["runId"]
    assert done["job"]["name"] == "churn.ingest"
    files = {each["name"]: each["facets"]["version"]["datasetVersion"] for each in done["inputs"]}
    assert files
    for name, digest in files.items():
        assert hashlib.sha256(Path(name).read_bytes()).hexdigest() == digest
    tables = {each["name"]: each["outputFacets"]["outputStatistics"]["rowCount"] for each in done["outputs"]}
    database = settings.database().database
    assert {f"{database}.public.{table.name}" for table in load("churn").extract.tables} <= set(tables)
    assert tables[f"{database}.public.users"] == 150
    assert str(settings.database().port) in done["outputs"][0]["namespace"]
    assert "password" not in file.read_text()


def test_training_and_bundling_name_the_version(file: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    kit.bentoml_home(tmp_path_factory)
    result = retrain("breast_cancer")
    built = bundle("breast_cancer")
    _, trained, _, bundled = events(file)
    version = {"namespace": "mlflow", "name": "models/breast_cancer/1"}
    (model,) = trained["outputs"]
    assert {name: model[name] for name in version} == version
    assert model["facets"]["version"]["datasetVersion"] == result["version"]["facts"]["fingerprint"]
    assert trained["inputs"] == [{"namespace": "asof", "name": "breast_cancer.rows", "facets": {}}]
    assert {name: bundled["inputs"][0][name] for name in version} == version
    assert bundled["outputs"][0]["name"] == built["bento_tag"]


def test_a_stage_that_fails_says_why(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        ingest(None, use_case="churn")
    _, failed = events(file)
    assert failed["eventType"] == "FAIL"
    assert "name their folder" in failed["run"]["facets"]["errorMessage"]["message"]


@emits_lineage("made-up", lambda _: Datasets([Dataset("a", "b")]))
def made_up(use_case: str, error: BaseException | None = None) -> dict[str, Any]:
    if error:
        raise error
    return {}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [(OSError("to postgres://u:secret@h"), "FAIL", "OSError"), (KeyboardInterrupt(), "ABORT", "KeyboardInterrupt")],
)
def test_the_message_of_another_error_is_not_sent(file: Path, error: BaseException, kind: str, message: str) -> None:
    with pytest.raises(type(error)):
        made_up("churn", error)
    _, ended = events(file)
    assert (ended["eventType"], ended["run"]["facets"]["errorMessage"]["message"]) == (kind, message)


def test_a_run_of_prefect_has_its_id(file: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.context import FlowRunContext

    seen = list[str]()

    @emits_lineage("seen", lambda _: Datasets())
    def seen_by_prefect(use_case: str) -> dict[str, Any]:
        context = FlowRunContext.get()
        assert context
        assert context.flow_run
        seen.append(str(context.flow_run.id))
        return {}

    own = deployments.flow(name="seen_by_prefect")(seen_by_prefect)
    monkeypatch.setattr(deployments, "seen_by_prefect", own, raising=False)
    with temporary_settings({PREFECT_API_URL: prefect_api, PREFECT_LOGGING_TO_API_ENABLED: False}):
        run_flow(seen_by_prefect, "churn")
    assert [each["run"]["runId"] for each in events(file)] == 2 * seen


class Receiver(BaseHTTPRequestHandler):
    """Keeps the requests in the server's `got`; answers with its `status`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status = [], 201
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


EVENT = Event(EventType.START, Run(UUID(int=7), "ingest", "churn"), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("path", "asked"), [("", "/api/v1/lineage"), ("/", "/api/v1/lineage"), ("/own/way", "/own/way")]
)
def test_events_are_posted_with_the_key(receiver: Any, path: str, asked: str) -> None:
    address = f"http://127.0.0.1:{receiver.server_address[1]}{path}"
    sink.send(Settings(openlineage_url=address, openlineage_key="secret"), EVENT)  # type: ignore[arg-type]
    assert receiver.got == [(asked, "Bearer secret", EVENT.to_json())]


def test_a_sink_that_is_away_is_a_warning_once(
    receiver: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logging.getLogger("asof.progress"), "propagate", True)
    receiver.status = 500
    (tmp_path / "file").touch()
    refusing = f"http://127.0.0.1:{receiver.server_address[1]}"
    for url in (
        f"http://user:secret@127.0.0.1:{free_port(18000, 'nothing')}",
        refusing,
        f"{tmp_path}/file/below",
        "http://[",
    ):
        caplog.clear()
        for _ in range(2):
            sink.send(Settings(openlineage_url=url), EVENT)  # type: ignore[arg-type]
        assert len(set(map(id, caplog.records))) == 1  # Prefect adds a handler, which keeps the same record
        assert "Check ASOF_OPENLINEAGE_URL" in caplog.messages[0]
        assert "secret" not in caplog.text


def test_scores_and_promotions_name_what_they_read_and_wrote(settings: Settings) -> None:
    case = load("churn")
    result = {"model": "m", "version": "3", "fingerprint": "f", "to": "/data/scores", "new": 7}
    scored = datasets.of_score(Done(settings, case, result, {}))
    assert scored.outputs == [Dataset("file", "/data/scores", rows=7)]
    assert Dataset("mlflow", "models/m/3", "f") in scored.inputs
    assert len(scored.inputs) == len(case.extract.tables) + 1
    for promoted, outputs in ((True, [Dataset("mlflow", "models/m@production", "3")]), (False, [])):
        outcome = {"name": "m", "version": "3", "promoted": promoted}
        assert datasets.of_promote(Done(settings, case, outcome, {})).outputs == outputs
    assert datasets.of_retrain(Done(settings, case, {"handled": False}, {})) == Datasets()
