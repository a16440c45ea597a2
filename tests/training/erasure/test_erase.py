"""An id is planted in every store, file and log; after `erase` it is nowhere, and nobody else's rows have changed."""

import gzip
import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from sqlalchemy.engine import make_url

from asof.errors import DataError
from asof.extract_schema import Kind
from asof.ledger.schema import create_tables
from asof.settings import Settings, export
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from tests.kits.data.everywhere import digests_of_others, places
from tests.kits.data.extracts import fetch
from tests.kits.models import keyed
from tests.kits.models.keyed import AS_OF, Keyed, Row
from training.audit.reproduction.reproduce import reproduce
from training.data.snapshots.snapshot import take_snapshot
from training.erasure.erase import Erasure, erase, look
from training.release.registry.versions import ModelVersion, load_model, verified_version
from training.scoring.score import score_users

PAIRS = Keyed(
    "visits",
    {"user_id": Kind.TEXT, "shop": Kind.INTEGER},
    {"users": ["user_id"], "shops": ["shop"], "both": ["shop", "user_id"]},
)
ACCOUNTS = Keyed("accounts", {"account": Kind.INTEGER}, {"usage": ["account"]})
DEVICES = Keyed("devices", {"device": Kind.UUID}, {"usage": ["device"]})
USERS = ["u7700123", "u77001234", "x-u7700123", "u7700123-2", *(f"u{number}" for number in range(16))]
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(60)]
ROWS: dict[str, list[Row]] = {
    "visits": [(shop, user) for shop in (3, 41, 415) for user in USERS],
    "accounts": [(number,) for number in (8800123, 88001234, 1880012, *range(100, 160))],
    "devices": [(each,) for each in UUIDS],
}
ENTITIES = {"visits": '{"user_id": "u7700123"}', "accounts": "8800123", "devices": UUIDS[0].upper()}
NEEDLES = {"visits": "u7700123", "accounts": "8800123", "devices": UUIDS[0]}
AFTER = datetime(2024, 2, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """A use case with the id in each place."""

    settings: Settings
    keyed: Keyed
    version: ModelVersion
    folder: Path

    @property
    def needle(self) -> str:
        return NEEDLES[self.keyed.name]

    @property
    def conninfos(self) -> list[str]:
        return [self.settings.conninfo(), self.settings.conninfo(make_url(self.settings.tracking_uri).database)]

    def places(self) -> dict[str, int]:
        return places(self.needle, self.conninfos, [self.settings.home])

    def erase(self) -> Erasure:
        entity = ENTITIES[self.keyed.name]
        return erase(self.settings, self.keyed.use_case, entity, reason="asked for", progress=lambda _: None)


@pytest.fixture(scope="module")
def planted(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Planted]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(settings.home / "bentoml"))
        export(settings)
        with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
            create_tables(connection)
        made = {}
        for case in (ACCOUNTS, DEVICES, PAIRS):
            folder = case.write(tmp_path_factory.mktemp("extracts") / "month", ROWS[case.name])
            keyed.load(settings, case, folder)
            made[case.name] = Planted(settings, case, keyed.train_and_register(settings, case), folder)
            _plant(made[case.name])
        yield made


@pytest.fixture(params=["visits", "accounts", "devices"])
def case(planted: dict[str, Planted], request: pytest.FixtureRequest) -> Planted:
    return planted[request.param]


def _plant(case: Planted) -> None:
    settings, use_case = case.settings, case.keyed.use_case
    score_users(settings, use_case, as_of=AS_OF, version=case.version.version)
    score_users(settings, use_case, as_of=AS_OF, version=case.version.version, to=str(settings.home / "scores"))
    _plant_models(case)
    _plant_ledger(case)
    _plant_texts(case)
    if case.keyed is not DEVICES:  # Feast's own store takes no UUIDs
        _plant_feast_store(case)


def _plant_models(case: Planted) -> None:
    with verified_version(case.settings, case.version) as verified:
        for place in (f"bentoml/models/{case.keyed.name}/v1/mlflow_model", f"following/models/{case.keyed.name}-1"):
            shutil.copytree(verified.folder, case.settings.home / place)


def _plant_ledger(case: Planted) -> None:
    model = int.from_bytes(case.keyed.name.encode()[:6], "big")
    describes = (model, case.keyed.use_case.name, case.version.name, case.version.run_id, "b:1", "f", "[]", [])
    with psycopg.connect(case.settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ledger.models (id, use_case, name, run_id, bento, fingerprint, features, views) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            describes,
        )
        for row in ROWS[case.keyed.name]:
            request, entity = uuid.uuid4(), case.keyed.keys.text(case.keyed.keys.from_row(row))
            connection.execute(
                "INSERT INTO ledger.predictions (at, request, model, status, entity, score, floats, caller_id) "
                "VALUES (now(), %s, %s, 200, %s, 0.5, '{1,2}', %s)",
                (request, model, entity, f"{entity} asked"),
            )
            for named in ({"entity": entity, "request": None}, {"entity": None, "request": request}):
                connection.execute(
                    "INSERT INTO ledger.outcomes (use_case, entity, request, outcome, observed_at, source, client_key) "
                    "VALUES (%s, %s, %s, 'true', now(), 'test', %s)",
                    (case.keyed.use_case.name, named["entity"], named["request"], f"key of {entity}"),
                )


def _plant_texts(case: Planted) -> None:
    home, keys = case.settings.home, case.keyed.keys
    for folder in ("run", "inspections", "postgres", "prefect"):
        (home / folder).mkdir(exist_ok=True)
    for path in (home / "run" / "answers.jsonl", home / "run" / "answers.jsonl.1.gz"):
        opened = gzip.open(path, "at") if path.suffix == ".gz" else path.open("a")
        with opened as log:
            for row in ROWS[case.keyed.name]:
                answer = {"at": "2024-01-31T01:02:03+00:00", "request_id": f"r-{row}", "use_case": "churn"}
                log.write(json.dumps(answer | {"model": {}, "entity": keys.members(keys.from_row(row))}) + "\n")
    names = ", ".join(f"{name} {value!r}" for name, value in zip(keys.names, ROWS[case.keyed.name][0], strict=True))
    line = f"No feature view knows {names}: check the id, or load it. 77001234 rows\n"
    with (home / "run" / "prediction.log").open("a") as log:
        log.write(f'{{"path": "/features/{case.needle}", "status": 404, "ms": 77001234}}\n{line}')
    (home / "inspections" / f"{case.keyed.name}.html").write_text(f"<p>of {names} it was 3</p>\n<p>others</p>\n")
    with (home / "postgres" / "server.log").open("a") as log:
        pairs = zip(keys.names, ROWS[case.keyed.name][0], strict=True)
        log.writelines(f"DETAIL:  Key ({name})=({value}) already exists.\n" for name, value in pairs)
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS log (id INTEGER, message VARCHAR)")
        connection.execute("CREATE TABLE IF NOT EXISTS artifact (id INTEGER, data JSON)")
        connection.execute("INSERT INTO log VALUES (1, ?), (2, 'another line')", [line])
        connection.execute("INSERT INTO artifact VALUES (1, ?)", [json.dumps({"finding": f"of {names} it was 3"})])
        connection.commit()


def _plant_feast_store(case: Planted) -> None:
    view = f"asof_{case.keyed.name}_{'both' if case.keyed is PAIRS else 'usage'}_fv"
    with psycopg.connect(case.settings.conninfo(), autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE online.{view} (entity_key bytea, feature_name text, value bytea, event_ts timestamptz)"
        )
        for row in ROWS[case.keyed.name]:
            values = [Value(int64_val=each) if isinstance(each, int) else Value(string_val=each) for each in row]
            key = serialize_entity_key(EntityKey(join_keys=[*case.keyed.keys.names], entity_values=values), 3)
            connection.execute(f"INSERT INTO online.{view} VALUES (%s, 'x', '\\x00', %s)", (key, AS_OF))


def test_nothing_but_the_tombstone_is_left_and_nobody_else_is_touched(case: Planted) -> None:
    before, others = case.places(), digests_of_others(case.needle, case.conninfos, [case.settings.home])
    print(before)
    looked = look(case.settings, case.keyed.use_case, ENTITIES[case.keyed.name], progress=lambda _: None)
    assert case.places() == before
    done = case.erase()
    assert done.copies == looked.copies
    assert done.remaining == {}
    left = case.places()
    if left:
        with psycopg.connect(case.settings.conninfo()) as c:
            for r in c.execute("select starelid::regclass, staattnum, s::text from pg_statistic s where s::text like %s", ["%"+case.needle+"%"]): print(r)
    assert left == {}
