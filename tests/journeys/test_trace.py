"""A prediction of the real Bento, traced by its request id to the files that its features came from."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest

from asof.features.feature_contract import FeatureContract
from asof.serving.batch.outcomes import ARROW
from asof.serving.features.evidence import StoreEvidence, prediction_type
from asof.settings import Settings, export
from asof.use_case import Estimator
from asof.use_cases import load
from tests.kits.data.extracts import extract_files, write
from tests.kits.machine.terminal import Done, call_flows, start_flows
from tests.kits.models.scoring import kept
from tests.kits.models.training import regression
from tests.kits.service import serving as kit
from training.audit.lineage.answers import find_answers
from training.data.snapshots.snapshot import take_snapshot
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.bundling.bundle import Bundle, bundle
from training.release.registry.register import register
from training.scoring.score import score_users

JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
USER = "0007-ABCDE"
ODD = [
    "CUST 0001",
    "José-1",
    "Jose\u0301-1",
    "Doe, J",
    "EU/7590",
    "7" * 65,
    "é" * 500,
    'a "quoted" one',
    "it's",
    "\\N",
    "\\",
]
ODD += ["שלום-1", "👩‍👩‍👧", "[red]x", "%2F", "..", "a\u2028b", "NULL", "{x}", "$1", "\ufeff1"]


def lenient(contract: FeatureContract, random_state: int) -> Any:
    """It takes a category that it has not seen, as the use case's own estimators do."""
    return regression(contract, random_state).set_params(columns__categories__handle_unknown="ignore")


QUICK = replace(load("churn"), estimators={"default": Estimator("churn_v2", lenient, "a logistic regression")})


@dataclass(frozen=True)
class Served:
    """A service that keeps its answers."""

    client: httpx.Client
    settings: Settings
    bundle: Bundle
    extract: Path
    log: Path

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings.environment(), "ASOF_LEDGER_SPOOL": str(self.settings.ledger_folder)}

    def trace(self, *words: str, text: str = "") -> Done:
        return call_flows(self.environment(), "trace", "churn", *words, text=text)

    def predict(self, user: str, request_id: str) -> httpx.Response:
        return self.client.post("/predict", json={"user_id": user}, headers={"X-Request-ID": request_id})


@pytest.fixture(scope="module")
def served(settings: Settings, bentoml_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    export(settings)
    folder = tmp_path_factory.mktemp("traced")
    extract = write(folder / "month_000", extract_files(200, odd=ODD))
    take_snapshot(settings, QUICK.extract, extract, as_of=JANUARY)
    apply_features(settings)
    training_set = build_training_set(settings, QUICK, JANUARY)
    version = register(settings, evaluate(settings, train(settings, QUICK, training_set)))
    materialise(settings, as_of=JANUARY)
    built = bundle(settings, QUICK, version)
    variables = {"ASOF_CLOCK": "2024-02-02T00:00:00", "ASOF_LEDGER": "process"}
    variables["ASOF_LEDGER_SPOOL"] = str(settings.ledger_folder)
    with kit.serving(settings, built.bento_tag, folder, **variables) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
        yield Served(client, settings, built, extract, folder / "log")


@pytest.fixture(scope="module")
def answered(served: Served) -> dict[str, httpx.Response]:
    answers = {"good": served.predict(USER, "good"), "unknown": served.predict("missing", "unknown")}
    malformed = served.client.post("/predict", json={"user": 1}, headers={"X-Request-ID": "malformed"})
    return answers | {"malformed": malformed}


def test_a_kept_answer_has_the_model_and_the_times_of_the_answer(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    (kept,) = find_answers(served.settings, QUICK, "good")
    answer = answered["good"].json()
    names = ("name", "version", "run_id", "bento", "fingerprint")
    assert {name: getattr(kept, name) for name in names} == {name: answer["model"][name] for name in names}
    assert (kept.entity, kept.status, kept.flags) == (USER, 200, ())
    assert kept.as_of == {view: datetime.fromisoformat(moment) for view, moment in answer["as_of"].items()}
    assert kept.at is not None
    assert kept.at.year >= 2026, "the real time, whatever ASOF_CLOCK says"


def test_refused_requests_are_kept_with_the_code_of_their_problem(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    kept = [find_answers(served.settings, QUICK, name)[0] for name in ("unknown", "malformed")]
    assert [(each.status, each.code, each.entity) for each in kept] == [
        (404, "entity-not-found", "missing"), (422, "invalid-request", None)
    ]  # fmt: skip


def test_an_answer_is_traced_by_its_request_id_to_the_files(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    run = start_flows(served.environment(), "trace", "churn", "good", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert (found["answer"]["entity"], found["model"]["version"]) == (USER, served.bundle.version)
    values = {each["name"]: each["value"] for each in served.client.get(f"/features/{USER}").json()["features"]}
    compared = [each for origin in found["values"] for each in origin["values"]]
    assert {each["feature"]: each["kept"] for each in compared} == values
    assert all(each["same"] for each in compared)
    identity = answered["good"].json()["model"]
    assert found["model"]["training_set"]["fingerprint"] == identity["fingerprint"]
    assert found["model"]["training"]["git_commit"] == identity["git_commit"]
    model = served.client.get("/model").json()
    assert found["model"]["training"]["model_digest"] == model["model_digest"]
    assert found["model"]["training_set"]["contract_digest"] == model["contract_digest"]
    for value in found["values"]:
        path = served.extract / value["load"]["file"]
        assert value["load"]["folder"] == str(served.extract.resolve())
        assert value["load"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert value["load"]["on_disk"] == "same"
    assert {value["table"] for value in found["values"]} == {
        "users", "subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d"
    }  # fmt: skip


def test_an_answer_on_stdin_is_traced_and_the_digests_are_printed(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    run = served.trace("-", text=answered["good"].text)
    assert run.returncode == 0, run.stdout + run.stderr
    for path in served.extract.glob("*.csv"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in run.stdout
    assert "no link of this chain is broken" in run.stdout


def test_an_unknown_request_id_is_exit_code_1_and_the_message_says_what_to_set(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    run = served.trace("never")
    assert (run.returncode, run.stdout) == (1, "")
    assert "DataError: No answer never of churn is in the ledger" in run.stderr
    assert "ASOF_LEDGER=process" in run.stderr


def test_a_stored_value_outside_the_training_range_is_flagged_by_every_endpoint(
    served: Served, answered: dict[str, httpx.Response]
) -> None:
    """A number beyond any measure, a category that no training row had; an infinite number is refused."""
    profile = dict(kit.USER["subs_profile_fv"])
    odd = {**kit.USER, "subs_profile_fv": {**profile, "total_paid": 1e12, "contract_type": "Five years"}}
    infinite = {**kit.USER, "subs_profile_fv": {**profile, "total_paid": float("inf")}}
    kit.write_users(served.settings, {"odd": odd, "infinite": infinite}, JANUARY)
    answer = served.predict("odd", "odd")
    assert answer.status_code == 200, answer.text
    flags = {flag["feature"]: flag for flag in answer.json()["flags"]}
    number, category = flags["total_paid"], flags["contract_type"]
    assert (number["view"], number["verdict"], number["value"]) == ("subs_profile_fv", "OUTSIDE", 1e12)
    assert number["trained_to"] == served.client.get("/model").json()["ranges"]["total_paid"][1]
    assert category == {
        "feature": "contract_type", "view": "subs_profile_fv", "verdict": "OUTSIDE", "category": "Five years"
    }  # fmt: skip
    assert prediction_type(QUICK, StoreEvidence).model_validate_json(answer.text).model_dump_json() == answer.text
    refused = served.predict("infinite", "infinite")
    assert (refused.status_code, refused.json()["code"]) == (422, "missing-features")
    assert refused.json()["missing_features"][0]["verdict"] == "INFINITE"
    verdicts = {each["name"]: each["verdict"] for each in served.client.get("/features/odd").json()["features"]}
    assert {name for name, verdict in verdicts.items() if verdict == "OUTSIDE"} == flags.keys()

    body = {"instances": [{"user_id": "odd"}, {"user_id": "infinite"}]}
    in_json = served.client.post("/predict/batch", json=body).json()["predictions"]
    assert (in_json[0]["flags"], in_json[1]["problem"]["code"]) == (answer.json()["flags"], "missing-features")
    in_arrow = served.client.post("/predict/batch", json=body, headers={"Accept": ARROW})
    with pa.ipc.open_stream(in_arrow.content) as reader:
        row = reader.read_all().to_pylist()[0]
    assert [{name: each[name] for name in flag} for each, flag in zip(row["flags"], flags.values(), strict=True)] == [
        *flags.values()
    ]
    assert {"total_paid", "contract_type"} <= set(find_answers(served.settings, QUICK, "odd")[0].flags)


def test_an_unusual_id_is_the_same_in_every_endpoint_as_in_the_extract(served: Served) -> None:
    done = score_users(served.settings, QUICK, version=served.bundle.version, as_of=JANUARY, range_users=7)
    assert done.new == 200 + len(ODD)
    scored = {row["entity"]: row["probability"] for row in kept(served.settings)}
    instances = [{"user_id": key} for key in ODD]
    batch = served.client.post("/predict/batch", json={"instances": instances}).json()["predictions"]
    for key, item in zip(ODD, batch, strict=True):
        single = served.client.post("/predict", json={"user_id": key}).json()
        assert (single["user_id"], single["probability"]) == (key, pytest.approx(scored[key], abs=1e-9))
        assert (item["user_id"], item["probability"]) == (key, pytest.approx(single["probability"], abs=1e-9))
        url = httpx.URL(str(served.client.base_url), raw_path=b"/features/" + quote(key, safe="").encode())
        if key != "..":  # which clients resolve
            assert served.client.send(served.client.build_request("GET", url)).json()["entity"] == key


@pytest.mark.parametrize("key", ["EU/7590", "[red]x", "a\u2028b"])
def test_an_answer_for_an_unusual_id_is_traced(served: Served, answered: dict[str, httpx.Response], key: str) -> None:
    request_id = f"odd-{ODD.index(key)}"
    assert served.predict(key, request_id).status_code == 200
    run = served.trace(request_id, "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout.removesuffix("\n").split("\n")[-1])
    assert (found["answer"]["entity"], found["broken"]) == (key, [])
    assert {value["load"]["on_disk"] for value in found["values"]} == {"same"}
