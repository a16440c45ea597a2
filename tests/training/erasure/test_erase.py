"""An id is planted in every store, file and log; after `erase` it is nowhere, and nobody else's rows have changed."""

import gzip
import json
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import sql
from pyarrow import parquet
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from typer.testing import CliRunner, Result

from asof.errors import ConfigurationError, DataError, ScoringError, UntrustedModel
from asof.extracts.schema import Kind
from asof.inference.served_model import load_verified
from asof.ledger.answers import Answer, Answers, ReadColumns, ReadValues
from asof.ledger.request_id import new_request_id
from asof.ledger.schema import create_tables
from asof.ledger.spool.segments import QUARANTINE
from asof.ledger.spool.writer import Spool
from asof.settings import Settings, export
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import MANIFEST, verify_folder
from asof.trust.signing_keys import trusted_keys
from flows.__main__ import app
from monitoring.retention.keep import keep_ledger
from tests.kits.data.everywhere import others, places
from tests.kits.data.extracts import fetch
from tests.kits.machine.databases import copy_features, fresh
from tests.kits.models import keyed
from tests.kits.models.keyed import AS_OF, Keyed, Row
from tests.kits.service.ledger import BY_VIEW, VALUES, encoder, rows, ship
from training.audit.lineage.training_set import set_origin
from training.audit.reproduction.reproduce import reproduce
from training.data.snapshots.snapshot import take_snapshot
from training.erasure.again import erase_again
from training.erasure.copies.models.signed_folders import reseal
from training.erasure.erase import Erasure, erase, look
from training.release.registry.versions import ModelVersion, load_model, verified_version
from training.scoring.score import Scoring, score_users

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
        return erase(self.settings, self.keyed.use_case, entity, reason="asked for")


@pytest.fixture(scope="module")
def planted(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Planted]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(settings.home / "bentoml"))
        patch.delenv("PREFECT_HOME", raising=False)
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
    _plant_month(case)
    _plant_texts(case)
    if case.keyed is not DEVICES:  # Feast's own store takes no UUIDs
        _plant_feast_store(case)


def _plant_models(case: Planted) -> None:
    with verified_version(case.settings, case.version) as verified:
        for place in (f"bentoml/models/{case.keyed.name}/v1/mlflow_model", f"following/models/{case.keyed.name}-1"):
            shutil.copytree(verified.folder, case.settings.home / place)


def _model(case: Planted) -> int:
    """Its id in the ledger."""
    return int.from_bytes(case.keyed.name.encode()[:6], "big")


def _plant_ledger(case: Planted) -> None:
    model = _model(case)
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
            connection.execute(
                "INSERT INTO ledger.shadow_scores (at, request, model, entity, score) VALUES (now(), %s, %s, %s, 0.5)",
                (request, model, entity),
            )
            for named in ({"entity": entity, "request": None}, {"entity": None, "request": request}):
                connection.execute(
                    "INSERT INTO ledger.outcomes (use_case, entity, request, event, outcome, observed_at, source, "
                    "client_key) VALUES (%s, %s, %s, %s, 'true', now(), 'test', %s)",
                    (case.keyed.use_case.name, named["entity"], named["request"], uuid.uuid4(), f"key of {entity}"),
                )


def _plant_month(case: Planted) -> None:
    """An old month of answers, which retention has moved to a file."""
    month = datetime(2024, 1 + [*ROWS].index(case.keyed.name), 15, tzinfo=UTC)
    with psycopg.connect(case.settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("SELECT ledger.make_partitions(%s, %s)", (month, month))
        connection.execute(
            "INSERT INTO ledger.predictions SELECT (p).* FROM ("
            "SELECT jsonb_populate_record(p, jsonb_build_object('at', %s::timestamptz)) AS p "
            "FROM ledger.predictions p WHERE model = %s) AS each",
            (month, _model(case)),
        )
    keep_ledger(case.settings.ledger_conninfo(), case.settings.home / "archive", month + timedelta(days=20))


def _plant_texts(case: Planted) -> None:
    home, keys = case.settings.home, case.keyed.keys
    for folder in ("run", "inspections", "postgres", "prefect"):
        (home / folder).mkdir(exist_ok=True)
    for path in (home / "run" / "answers.jsonl", home / "run" / "answers.jsonl.1.gz"):
        with gzip.open(path, "at") if path.suffix == ".gz" else path.open("a") as log:
            for number, row in enumerate(ROWS[case.keyed.name]):
                answer = {"at": "2024-01-31T01:02:03+00:00", "request_id": f"r-{number}", "use_case": "churn"}
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


OF_NOBODY = (
    *("scoring_runs", "pg_statistic", "_SUCCESS", "prefect.db", "asof_manifest.json", GOLDEN_ROWS),
    *("input_example.json", "training_set_manifest.json", "training_set_erased.json"),
)
"""Tables and files that have no row or line of one entity, by the ends of their names."""
EXPECTED = {
    "visits": {"visits_all": 3, "visits_users": 1, "visits_both": 3, "visits_labels": 3, "scored_users": 3},
    "accounts": {"accounts_all": 1, "accounts_usage": 1, "accounts_labels": 1, "scored_users": 1},
    "devices": {"devices_all": 1, "devices_usage": 1, "devices_labels": 1, "scored_users": 1},
}
FILES = (
    "server.log",
    "prediction.log",
    "answers.jsonl",
    "answers.jsonl.1.gz",
    "part-00000.parquet",
    ".html",
    "prefect.db",
)


@dataclass(frozen=True)
class Erased:
    """What was found before and after a dry run, and after the erasure; and where rows of others have changed."""

    before: dict[str, int]
    looked: Erasure
    after_look: dict[str, int]
    done: Erasure
    left: dict[str, int]
    touched: list[str]


@pytest.fixture(scope="module")
def erased(planted: dict[str, Planted]) -> dict[str, Erased]:
    return {name: _erased(case) for name, case in planted.items()}


def _erased(case: Planted) -> Erased:
    everywhere = (case.needle, case.conninfos, [case.settings.home])
    before, rows_of_others = case.places(), others(*everywhere)
    looked = look(case.settings, case.keyed.use_case, ENTITIES[case.keyed.name])
    after_look, done, left = case.places(), case.erase(), case.places()
    after = others(*everywhere)
    touched = [place for place, every in rows_of_others.items() if every - after[place]]
    return Erased(before, looked, after_look, done, left, touched)


def test_nothing_but_the_tombstone_is_left_and_nobody_else_is_touched(case: Planted, erased: dict[str, Erased]) -> None:
    name = case.keyed.name
    before, looked, done = erased[name].before, erased[name].looked, erased[name].done
    counts = {place: before[f"public.{place}"] + before[f"months.{place}_2024_01"] for place in EXPECTED[name]}
    assert counts == EXPECTED[name]
    answers = sum(count for place, count in before.items() if place.startswith("ledger.predictions_"))
    assert answers == before["ledger.outcomes"] / 2 == EXPECTED[name]["scored_users"]
    assert sum(count for place, count in before.items() if place.startswith("ledger.shadow_scores_")) == answers
    month = f"archive/predictions_2024_0{1 + [*ROWS].index(name)}.parquet"
    for end in (*FILES, month, "training_set.parquet", f"{name}_{'both' if case.keyed is PAIRS else 'usage'}_fv"):
        assert any(place.endswith(end) for place in before), end
    assert (erased[name].after_look, looked.dry_run, looked.remaining) == (before, True, None)
    assert (done.copies, done.remaining, done.dry_run) == (looked.copies, {}, False)
    assert erased[name].left == {}
    assert [place for place in erased[name].touched if not place.endswith(OF_NOBODY)] == []


def test_what_waits_in_the_spool_is_shipped_without_the_erased(planted: dict[str, Planted]) -> None:
    """A worker has the file open; a batch with others, a short id that leaves no room for a mark, a set aside file."""
    case = planted["accounts"]
    settings, use_case, folder = case.settings, case.keyed.use_case, case.settings.ledger_folder
    spool, model, read = Spool(folder, 2**24), encoder(), ReadValues(VALUES, BY_VIEW)
    columns = ReadColumns(
        {name: np.array([value] * 3) for name, value in VALUES.items()}, {}, np.full((3, 2), 1_700_000_000_000_000)
    )
    batch = Answers(range(3), ["90", "900", "900-"], [0.5] * 3, [1] * 3, {}, {}, range(3))
    frames = [
        model.one(new_request_id(), "billing", Answer("900", prediction=0.25, decision=0), read),
        model.one(new_request_id(), None, Answer("900", 404, "entity-not-found"), None),
        model.one(new_request_id(), None, Answer("9001", prediction=0.75, decision=1), read),
        model.many(new_request_id(), None, batch, columns),
    ]
    for frame in frames:
        spool.append(model, frame)
    (path,) = folder.glob("*.frames")
    (folder / QUARANTINE).mkdir()
    shutil.copy(path, folder / QUARANTINE)
    done = erase(settings, use_case, "900", reason="asked")
    assert (done.copies[str(folder)], done.remaining) == (6, {})
    spool.append(model, frames[2])
    spool.close()
    assert ship(settings, folder).quarantined == []
    kept = "SELECT entity, status, code, score, num_nonnulls(floats, texts), item FROM ledger.predictions p "
    shipped = rows(settings, kept + "JOIN ledger.models m ON m.id = p.model WHERE m.name = 'a_model' ORDER BY item, at")
    assert {row for row in shipped if row[0]} == {
        ("9001", 200, None, 0.75, 2, None),
        *((each, 200, None, 0.5, 2, item) for each, item in (("90", 0), ("900-", 2))),
    }
    erased = [row for row in shipped if row[0] is None]
    assert [(status, code, score) for _, status, code, score, *_ in erased] == [
        (200, None, None),
        (200, "erased", None),
        (404, "erased", None),
    ]
    assert places("900", case.conninfos, [folder]) == {}


@pytest.mark.usefixtures("erased")
def test_a_model_stays_signed_and_loads_without_the_golden_rows_of_the_erased(planted: dict[str, Planted]) -> None:
    gone = 0
    for case in planted.values():
        load_model(case.settings, case.version)
        folders = [*case.settings.home.glob(f"*/models/{case.keyed.name}*/**/{GOLDEN_ROWS}")]
        assert len(folders) == 2
        with verified_version(case.settings, case.version) as verified:
            content = verified.read(GOLDEN_ROWS)
            assert [path.read_bytes() for path in folders] == [content, content]
            load_verified(verified, case.keyed.use_case)
        for path in folders:
            verify_folder(path.parent, trusted_keys(case.settings)).of_run(case.version.run_id)
        held_out = case.version.metrics["rows_held_out"]
        gone += int(held_out) - len(GoldenRows.from_json(content).rows)
    assert gone > 0


def test_a_folder_is_signed_again_after_an_interruption_but_not_after_a_change_by_others(
    planted: dict[str, Planted], tmp_path: Path
) -> None:
    case = planted["visits"]
    with verified_version(case.settings, case.version) as verified:
        good, changed = (Path(shutil.copytree(verified.folder, tmp_path / name)) for name in ("good", "changed"))
    rows = GoldenRows.from_json((good / GOLDEN_ROWS).read_bytes()).rows[:1]
    manifest, keys = (good / MANIFEST).read_bytes(), trusted_keys(case.settings)
    assert reseal(case.settings, good, case.version.run_id, rows).keys() >= {GOLDEN_ROWS, MANIFEST}
    (good / MANIFEST).write_bytes(manifest)  # as if interrupted before the last file
    assert reseal(case.settings, good, case.version.run_id, rows).keys() == {MANIFEST}
    verify_folder(good, keys)
    (changed / "MLmodel").write_text("")
    assert MANIFEST not in reseal(case.settings, changed, case.version.run_id, rows)
    with pytest.raises(UntrustedModel):
        verify_folder(changed, keys)


@pytest.mark.usefixtures("erased")
def test_a_version_that_cannot_be_reproduced_says_what_was_erased(planted: dict[str, Planted]) -> None:
    case = planted["visits"]
    result = reproduce(case.settings, case.keyed.use_case, case.version)
    assert result.rebuilt.erased == 3
    assert result.verdict.startswith("Erased: 3 of the rows that it was trained on. The others are the same.")
    assert (result.agrees, result.rebuilt.rows_agree, result.rebuilt.differences) == (False, None, None)


@pytest.mark.usefixtures("erased")
def test_an_old_delivery_brings_nobody_back(case: Planted, tmp_path: Path) -> None:
    labels = tmp_path / "later_labels"
    labels.mkdir()
    shutil.copytree(case.folder, tmp_path / "again")
    shutil.move(tmp_path / "again" / f"{case.keyed.name}_labels.csv", labels)
    other = replace(case.keyed.extract, use_case="churn")
    with_rows = take_snapshot(case.settings, other, tmp_path / "again", as_of=AS_OF - timedelta(days=1))
    late = take_snapshot(case.settings, other, labels, as_of=AS_OF - timedelta(days=1))
    left_out = {place: count for place, count in EXPECTED[case.keyed.name].items() if place != "scored_users"}
    assert {**with_rows.left_out, **late.left_out} == left_out
    assert case.places() == {}


@pytest.mark.usefixtures("erased")
def test_who_is_described_after_the_erasure_is_a_new_customer(planted: dict[str, Planted]) -> None:
    case = planted["devices"]
    extract = replace(case.keyed.extract, use_case="churn")
    taken = take_snapshot(case.settings, extract, case.folder, as_of=datetime.now(UTC))
    assert (taken.left_out, taken.new_rows["devices_all"]) == ({}, len(UUIDS))
    assert case.erase().copies == {"public.devices_all": 1, "public.devices_usage": 1, "public.devices_labels": 1}
    assert case.places() == {}


@pytest.mark.usefixtures("erased")
def test_a_second_erasure_says_when_the_first_was_and_an_unknown_id_is_refused(planted: dict[str, Planted]) -> None:
    case = planted["visits"]
    again = case.erase()
    assert (again.copies, again.erased_before is not None, again.begun_before) == ({}, True, False)
    use_case = case.keyed.use_case
    for entity, reason, why in [
        ('{"user_id": "nobody-7"}', "asked", "Nothing of this entity of churn is here: check the id."),
        ("u7700123", "asked", "Entities of churn have the keys shop, user_id: give JSON of all or some of them"),
        ('{"shop": "x"}', "asked", "This is no shop: an id here must be a whole number"),
        ('{"user_id": "u1"}', "u1 has asked", "The reason stays: give one without the id."),
    ]:
        with pytest.raises(DataError, match=re.escape(why)):
            erase(case.settings, use_case, entity, reason=reason)


def test_an_interrupted_erasure_is_finished_by_the_same_command(planted: dict[str, Planted]) -> None:
    case, entity = planted["visits"], '{"user_id": "u3", "shop": 41}'
    count = "SELECT count(*) FROM public.visits_{} WHERE user_id = 'u3'"
    ((pairs,),) = fetch(case.settings, count.format("both") + " AND shop = 41")
    users = fetch(case.settings, count.format("users"))
    with psycopg.connect(case.settings.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''stopped''; END'")
        stop = "CREATE TRIGGER stop BEFORE DELETE ON online.asof_visits_both_fv EXECUTE FUNCTION stop()"
        connection.execute(stop)
        with pytest.raises(psycopg.errors.RaiseException, match="stopped"):
            erase(case.settings, case.keyed.use_case, entity, reason="asked")
        begun = "SELECT count(*) FROM public.erasures WHERE finished_at IS NULL"
        assert connection.execute(begun).fetchone() == (1,)
        connection.execute("DROP TRIGGER stop ON online.asof_visits_both_fv")
        done = erase(case.settings, case.keyed.use_case, entity, reason="asked")
        assert (done.begun_before, done.remaining) == (True, {})
        assert connection.execute(begun).fetchone() == (0,)
        counted = connection.execute("SELECT copies FROM public.erasures ORDER BY until DESC LIMIT 1").fetchone()
    assert counted is not None
    assert (counted[0]["public.visits_both"], counted[0]["ledger.predictions"]) == (pairs, 1)
    assert fetch(case.settings, count.format("users")) == users


def test_the_command_asks_counts_erases_and_never_prints_the_id(
    planted: dict[str, Planted], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, entity = planted["devices"], UUIDS[7]
    monkeypatch.setattr("asof.use_cases.load", lambda _: case.keyed.use_case)
    monkeypatch.setenv("ASOF_SIGNING_KEY", "")

    def run(*words: str, stdin: str = entity) -> Result:
        return CliRunner().invoke(app, ["erase", "churn", *words], input=stdin)

    refused = run(entity, "--reason", "asked", stdin="n\n")
    looked = run("-", "--dry-run", "--json")
    done = run("-", "--reason", "asked", "--yes")
    again = run(entity, "--reason", "asked", "--yes", "--json")
    assert [each.exit_code for each in (refused, looked, done, again)] == [1, 0, 0, 0], done.output
    assert json.loads(looked.stdout.splitlines()[-1])["copies"]["public.devices_all"] > 0
    assert done.stdout.startswith("Erased: ")
    assert "Left to you" in done.stdout
    assert json.loads(again.stdout.splitlines()[-1])["erased_before"]
    assert not [each.output for each in (refused, looked, done, again) if entity in each.output]
    assert run().exit_code == 2


@pytest.mark.parametrize("to", ["postgres", "parquet"])
def test_an_unfinished_scoring_continues_unless_its_plan_named_an_erased_user(
    planted: dict[str, Planted], tmp_path: Path, to: str
) -> None:
    case, place = planted["devices"], to if to == "postgres" else str(tmp_path)
    run = {"as_of": AS_OF, "known_at": datetime.now(UTC), "version": case.version.version, "range_users": 20}

    def score(**given: Any) -> Scoring:
        return score_users(case.settings, case.keyed.use_case, **run | given)

    def stop(said: str) -> None:
        if said.startswith("2 of"):
            raise KeyboardInterrupt

    score(to=str(tmp_path / "whole"))
    parts = sorted(tmp_path.glob("whole/*/part-*.parquet"))
    every = [entity for part in parts for entity in parquet.read_table(part)["entity"].to_pylist()]
    with pytest.raises(KeyboardInterrupt):
        score(to=place, progress=stop)
    erase(case.settings, case.keyed.use_case, every[39], reason="asked")
    assert score(to=place, progress=lambda _: None).new == len(every) - 40
    run["known_at"] = datetime.now(UTC)
    with pytest.raises(KeyboardInterrupt):
        score(to=place, progress=stop)
    cut = every[41]  # of those that are left, the first of the third range
    erase(case.settings, case.keyed.use_case, cut, reason="asked")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and cut.encode() in path.read_bytes()]
    assert fetch(case.settings, f"SELECT count(*) FROM scoring_runs WHERE '{cut}' = ANY(cuts)") == [(0,)]
    with pytest.raises(ScoringError, match="the plan of its ranges is gone"):
        score(to=place)


def test_what_a_restored_backup_brings_back_is_erased_again(
    planted: dict[str, Planted], tmp_path_factory: pytest.TempPathFactory, server: Settings
) -> None:
    case, number = planted["accounts"], 100
    with fresh(server, tmp_path_factory.mktemp("backup")) as backup:
        copy_features(case.settings, backup)
        erase(case.settings, case.keyed.use_case, str(number), reason="asked")
        copy_features(backup, case.settings)
    of_both = "SELECT count(*) FROM public.accounts_all WHERE account = 100"
    assert fetch(case.settings, of_both) != [(0,)]
    (done,) = erase_again(case.settings, case.keyed.use_case)
    assert (done.remaining, done.keys) == ({}, ("account",))
    assert fetch(case.settings, of_both) == [(0,)]
    assert erase_again(case.settings, case.keyed.use_case) == []
    with pytest.raises(ConfigurationError, match=r"Tombstones were made with the key [0-9a-f]{16}, and"):
        erase_again(case.settings.model_copy(update={"erasure_key": SecretStr("another")}), case.keyed.use_case)


@pytest.mark.usefixtures("erased")
def test_rows_that_were_erased_break_no_chain_and_rows_that_were_deleted_do(planted: dict[str, Planted]) -> None:
    case = planted["visits"]
    facts, use_case = case.version.facts, case.keyed.use_case
    origin = set_origin(case.settings, use_case, facts)
    loads = [share.load for source in origin.sources for share in source.shares]
    assert origin.broken == ()
    assert any(load.erased for load in loads if load)
    with psycopg.connect(case.settings.conninfo()) as connection:
        connection.execute("SET LOCAL asof.erasing = 'on'")
        labels = sql.Identifier(use_case.extract.labels.name)
        connection.execute(sql.SQL("DELETE FROM {} WHERE user_id = 'u1' AND shop = 3").format(labels))
        connection.commit()
        (broken,) = set_origin(case.settings, use_case, facts).broken
    assert "others were not written by the loader, or were deleted" in broken
