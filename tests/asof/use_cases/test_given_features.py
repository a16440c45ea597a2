"""A use case with stored and given features: trained, served alone and in batches, scored, traced, reproduced."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from asof.errors import ConfigurationError, ModelError, TrainingSetError
from asof.extracts.schema import Column, Kind, RawTable
from asof.features.feature_contract import GIVEN, Feature, FeatureContract
from asof.given_features import Given
from asof.inference.served_model import ServedModel, load_verified
from asof.model_facts import Lineage
from asof.serving.api.routes import create_app
from asof.serving.http.openapi import document
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Predictor
from asof.serving.prediction.worker import Worker
from asof.settings import Settings, export
from asof.use_case import FromStore, UseCase
from asof.use_cases import load
from doctor.data.production import check_features
from tests.kits.service.protocols import with_protocols
from tests.kits.use_cases.beside import customers, returns_installed, write_month
from training.audit.lineage.trace import trace_version
from training.audit.reproduction.reproduce import reproduce
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables
from training.features.datasets.dataset import build_training_set
from training.features.datasets.point_in_time import read_sources
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import materialise
from training.features.parity.check import check_parity
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.gate.judge import judge_of
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, verified_version
from training.scoring.reading import read_features
from training.scoring.score import score_users

JANUARY, FEBRUARY = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)
COUNT = 400
LATE, ABSENT = "c-0003", "c-0005"
"""A customer whose basket of January was corrected in February, and one without a basket in February."""
JSON = {"Content-Type": "application/json"}
GOOD = {"customer_id": "c-0001", "basket_value": 60.5, "channel": "web"}


@dataclass(frozen=True)
class Shop:
    """Two months loaded, online as of the newer one, and a version trained on the older."""

    settings: Settings
    case: UseCase
    version: ModelVersion
    model: ServedModel
    january: Mapping[str, pd.DataFrame]
    february: Mapping[str, pd.DataFrame]


@pytest.fixture(scope="module")
def shop(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with returns_installed(folder):
        export(settings)
        own = settings.model_copy(update={"clock": FEBRUARY + timedelta(days=1)})
        case, january, february = load("returns"), customers(COUNT, 1), customers(COUNT, 2)
        del february["shop_returns"]
        baskets = february["shop_baskets"]
        february["shop_baskets"] = baskets[baskets["customer_id"] != ABSENT]
        corrected = {**january, "shop_baskets": january["shop_baskets"].copy()}
        corrected["shop_baskets"].loc[3, "basket_value"] = 199.5
        for name, tables, as_of in (("m0", january, JANUARY), ("m1", february, FEBRUARY), ("m0_r", corrected, JANUARY)):
            known_at = FEBRUARY + timedelta(days=10) if name == "m0_r" else as_of
            take_snapshot(own, case.extract, write_month(folder / name, tables), as_of=as_of, known_at=known_at)
        apply_features(own)
        materialise(own)
        trained = train(own, case, build_training_set(own, case, JANUARY))
        version = register(own, evaluate(own, trained))
        with verified_version(own, version) as verified:
            model = load_verified(verified, case)
        yield Shop(own, case, version, model, corrected, february)


def ask(shop: Shop, *bodies: Any, path: str = "/predict", **headers: str) -> list[httpx.Response]:
    """The responses of the endpoints, without BentoML; a text is sent as it is."""
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    lineage = Lineage("shop_returns", shop.version.version, shop.version.run_id, "none:1")

    async def main() -> list[httpx.Response]:
        worker = Worker(shop.settings.model_copy(update={"lookup_timeout": 30.0}), shop.case, bento="none:1")
        predictor = Predictor(shop.model, lineage, worker)
        await predictor.start()
        app = with_protocols(shop.case, LiveModel(worker, predictor))
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                return [await client.post(path, content=text, headers={**JSON, **headers}) for text in texts]
        finally:
            await predictor.close()

    return asyncio.run(main())


def expected(shop: Shop, customer: str, basket_value: float, channel: str) -> float:
    """The model's probability for stored values of February and given ones."""
    stored = shop.february["shop_customers"].set_index("customer_id").loc[customer]
    row = {"orders_90d": int(stored["orders_90d"]), "city": stored["city"]}
    return shop.model.predict([{**row, "basket_value": basket_value, "channel": channel}])[0]


def test_the_protocols_take_keys_and_given_features_as_columns(shop: Shop) -> None:
    bodies = [GOOD, {**GOOD, "basket_value": 61}, {**GOOD, "customer_id": "nobody"}, {**GOOD, "channel": ""}]
    alone = [each.json() for each in ask(shop, *bodies)]
    table = pd.DataFrame(bodies, dtype=object)
    (scored,) = ask(shop, {"dataframe_split": table.to_dict("split")}, path="/invocations")
    (in_csv,) = ask(shop, table.to_csv(index=False), path="/invocations", **{"Content-Type": "text/csv"})
    types = {"customer_id": "BYTES", "basket_value": "FP32", "channel": "BYTES"}
    inputs = [
        {"name": name, "datatype": types[name], "shape": [4], "data": each.tolist()} for name, each in table.items()
    ]
    (inferred,) = ask(shop, {"inputs": inputs}, path="/v2/models/shop_returns/infer")
    outputs = {each["name"]: each["data"] for each in inferred.json()["outputs"]}
    assert in_csv.json()["predictions"] == scored.json()["predictions"]
    for one, item, probability, problem in zip(
        alone, scored.json()["predictions"], outputs["probability"], outputs["problem"], strict=True
    ):
        assert (
            item.get("problem", {}).get("code") == one.get("code") == (json.loads(problem)["code"] if problem else None)
        )
        assert item.get("probability", "NaN") == probability == pytest.approx(one.get("probability", "NaN"))


def test_a_training_set_has_the_given_features_of_the_labels_moment_as_known_then(shop: Shop) -> None:
    first = build_training_set(shop.settings, shop.case, JANUARY, known_at=FEBRUARY + timedelta(days=1)).frame
    later = build_training_set(shop.settings, shop.case, JANUARY).frame
    wanted = shop.january["shop_baskets"].set_index("customer_id")
    assert later.set_index("customer_id")["basket_value"].to_dict() == wanted["basket_value"].to_dict()
    changed = first["customer_id"][first["basket_value"] != later["basket_value"]]
    assert changed.tolist() == [LATE]
    assert shop.model.facts.contract.features[-2:] == (
        Feature("basket_value", "", "Float64"),
        Feature("channel", "", "String"),
    )


def test_a_prediction_joins_what_is_stored_and_what_is_given(shop: Shop) -> None:
    (answer,) = ask(shop, GOOD)
    assert answer.status_code == 200, answer.text
    assert answer.json()["probability"] == pytest.approx(expected(shop, *GOOD.values()), abs=1e-12)
    assert answer.json()["flags"] == []
    assert set(answer.json()["as_of"]) == {"shop_customers_fv"}


def test_training_and_serving_give_the_same_probability_for_every_row(shop: Shop) -> None:
    rows = build_training_set(shop.settings, shop.case, JANUARY).frame.head(50)
    own = replace(shop, settings=shop.settings.model_copy(update={"clock": JANUARY + timedelta(days=1)}))
    materialise(own.settings, as_of=JANUARY)
    try:
        bodies = rows[["customer_id", "basket_value", "channel"]].to_dict("records")
        (batch,) = ask(own, {"instances": bodies}, path="/predict/batch")
    finally:
        materialise(shop.settings)
    values = rows[shop.model.facts.contract.names]
    assert [each["probability"] for each in batch.json()["predictions"]] == shop.model.predict_columns(values)


@pytest.mark.parametrize(
    ("change", "status", "code", "place"),
    [
        ({"basket_value": None}, 422, "invalid-request", "body.basket_value"),
        ({"channel": "fax"}, 422, "invalid-request", "body.channel"),
        ({"basket_value": 60_500.0}, 422, "invalid-request", "body.basket_value: basket_value must lie within 10 tra"),
        ({"basket_value": 1e400}, 422, "invalid-request", "body.basket_value: must be a finite number"),
        ({"customer_id": "nobody"}, 404, "entity-not-found", "'nobody'"),
        ({"customer_id": "nobody", "basket_value": 60_500.0}, 422, "invalid-request", "body.basket_value"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_alone_and_in_a_batch(
    shop: Shop, change: dict[str, Any], status: int, code: str, place: str
) -> None:
    text = json.dumps(GOOD | change).replace("Infinity", "1e400")
    (alone,) = ask(shop, text)
    assert (alone.status_code, alone.json()["code"]) == (status, code)
    assert place in alone.json()["detail"]
    (batch,) = ask(shop, f'{{"instances": [{json.dumps(GOOD)}, {text}, {json.dumps(GOOD)}]}}', path="/predict/batch")
    good, wrong, other = batch.json()["predictions"]
    assert good == other
    assert {name: alone.json()[name] for name in wrong["problem"]} == wrong["problem"]


def test_a_given_value_outside_the_training_range_is_flagged_without_a_view(shop: Shop) -> None:
    alone, (flagged,) = GOOD | {"basket_value": 300.0}, ask(shop, GOOD | {"basket_value": 300.0})
    (flag,) = flagged.json()["flags"]
    assert (flag["feature"], flag["value"], "view" in flag) == ("basket_value", 300.0, False)
    (batch,) = ask(shop, {"instances": [GOOD, alone]}, path="/predict/batch")
    assert [len(each["flags"]) for each in batch.json()["predictions"]] == [0, 1]


def test_a_batch_answers_as_one_after_the_other(shop: Shop) -> None:
    changes: list[dict[str, Any]] = [
        {"customer_id": customer, "basket_value": value, "channel": channel}
        for customer in ("c-0001", "c-0009", "nobody")
        for value in (5.0, 60.5, 300.0, 60_500.0)
        for channel in ("app", "phone", "fax")
    ]
    alone = [answer.json() for answer in ask(shop, *changes)]
    (batch,) = ask(shop, {"instances": changes}, path="/predict/batch")
    for one, many in zip(alone, batch.json()["predictions"], strict=True):
        assert many.pop("kept") == "none"
        told = dict(many.get("problem", many))
        probability = told.pop("probability", None)
        assert {name: one[name] for name in told} == told
        assert one.get("probability") == (probability and pytest.approx(probability, abs=1e-12))


def test_a_batch_in_arrow_has_the_same_answers(shop: Shop) -> None:
    instances = [GOOD, GOOD | {"basket_value": 300.0}, GOOD | {"customer_id": "nobody"}, {"customer_id": "c-0001"}]
    (plain,) = ask(shop, {"instances": instances}, path="/predict/batch")
    (arrow,) = ask(shop, {"instances": instances}, path="/predict/batch", accept="application/vnd.apache.arrow.stream")
    rows = pa.ipc.open_stream(arrow.content).read_all().to_pylist()
    assert [row["code"] for row in rows] == [None, None, "entity-not-found", "invalid-request"]
    answers = plain.json()["predictions"]
    assert [row["probability"] for row in rows[:2]] == [each["probability"] for each in answers[:2]]
    assert [flag["feature"] for flag in rows[1]["flags"]] == ["basket_value"]


def test_score_takes_the_given_features_from_their_table_as_of_the_moment(shop: Shop, tmp_path: Path) -> None:
    scoring = score_users(shop.settings, shop.case, version=shop.version.version, as_of=FEBRUARY, to=str(tmp_path))
    rows = pd.concat(map(pd.read_parquet, tmp_path.glob("*/part-*.parquet"))).set_index("entity")
    assert (scoring.tally.scored, scoring.tally.refused) == (COUNT, {"missing-features": 1})
    assert rows.loc[ABSENT, "code"] == "missing-features"
    assert "basket_value is not found, channel is not found" in rows.loc[ABSENT, "detail"]
    baskets = shop.february["shop_baskets"].set_index("customer_id")
    for customer in ("c-0001", "c-0200"):
        wanted = expected(shop, customer, *baskets.loc[customer, ["basket_value", "channel"]])
        assert rows.loc[customer, "probability"] == pytest.approx(wanted, abs=1e-12)
        assert set(json.loads(rows.loc[customer, "moments"])) == {"shop_customers_fv"}


def test_parity_compares_the_stored_features(shop: Shop) -> None:
    parity = check_parity(shop.settings, shop.case)
    assert parity.agrees
    assert {each.feature for each in parity.features} == {"orders_90d", "city"}


def test_the_gate_passes_and_the_version_can_be_traced_and_reproduced(shop: Shop) -> None:
    criteria = judge_of(shop.settings, shop.case, shop.version)(None)
    assert {each.name for each in criteria if not each.passed} <= {"latency within the budget"}, criteria
    origin = trace_version(shop.settings, shop.case, shop.version.version).training_set
    assert [(each.source, each.table) for each in origin.sources] == [
        ("shop_customers_fv", "shop_customers"),
        (GIVEN, "shop_baskets"),
        ("shop_returns", "shop_returns"),
    ]
    assert origin.broken == ()
    again = reproduce(shop.settings, shop.case, shop.version)
    assert again.agrees, again
    assert list(check_features(shop.settings, shop.case, shop.version)) == []


def test_a_model_with_other_given_features_is_refused(shop: Shop) -> None:
    source = shop.case.source
    assert isinstance(source, FromStore)
    assert source.given
    fewer = replace(shop.case, source=replace(source, given=replace(source.given, columns=("channel",))))
    words = r"only the model has basket_value \(Float64\)\. Train again"
    with pytest.raises(ModelError, match=words):
        fewer.check_model(shop.model.facts)
    without = replace(shop.case, source=replace(source, given=None))
    with pytest.raises(ModelError, match=r"only the model has basket_value .*, channel"):
        without.check_model(shop.model.facts)
    contract = shop.model.facts.contract
    assert read_features(shop.settings, contract, shop.case.given).contract == contract


def test_a_moment_before_the_given_table_was_delivered_has_no_training_set(shop: Shop) -> None:
    baskets = replace(shop.case.extract.tables[1], name="shop_carts")
    extract = replace(shop.case.extract, tables=(shop.case.extract.tables[0], baskets))
    prepare_tables(shop.settings, extract)
    case = replace(shop.case, source=FromStore(extract, given=Given(baskets, ("basket_value", "channel"))))
    with pytest.raises(TrainingSetError, match=r"There are no rows of shop_carts as of 2026-01-31.*ingest that file"):
        build_training_set(shop.settings, case, JANUARY)


def test_the_api_describes_both_kinds_of_features(shop: Shop) -> None:
    spec = document(create_app(shop.case), shop.case, "v1")
    text = json.dumps(spec)
    assert not re.search("churn|streamflow|cancer|user_id|basket_value_fv|shop_baskets_fv", text, re.IGNORECASE)
    operation = spec["paths"]["/predict"]["post"]
    for status, answer in operation["responses"].items():
        for form in answer["content"].values():
            if status == "200":
                Draft202012Validator({**form["schema"], "components": spec["components"]}).validate(form["example"])


TABLE = RawTable("t", (Column("id", Kind.TEXT), Column("amount", Kind.NUMBER), Column("day", Kind.DATE)))


@pytest.mark.parametrize("columns", [("amont",), ("day",), ("id",), ("amount", "gone")])
def test_a_given_feature_is_a_text_number_or_boolean_of_its_table(columns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="raw table 't' has no such text, number or boolean"):
        Given(TABLE, columns)


class Optional(BaseModel):
    amount: float = 0.0


class Nullable(BaseModel):
    amount: float | None


class Text(BaseModel):
    amount: str


class Without(BaseModel):
    pass


@pytest.mark.parametrize("payload", [Optional, Nullable, Text, Without])
def test_a_payload_must_ask_for_every_given_feature(payload: type[BaseModel]) -> None:
    with pytest.raises(ConfigurationError, match=f"{payload.__name__} of use case 'u' needs the required member 'amo"):
        Given(TABLE, ("amount",)).check_payload("u", payload)


def test_the_raw_table_is_one_of_the_extract_and_no_name_stands_for_two_features(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="'t' of given features: add it to the extract"):
        FromStore(shop.case.extract, given=Given(TABLE, ("amount",)))
    stored = RawTable("shop_baskets", (*TABLE.columns[:1], Column("city", Kind.TEXT)))
    with pytest.raises(ConfigurationError, match="city: feature service 'returns_v1' has a stored feature of the same"):
        read_sources(shop.settings, "returns_v1", Given(stored, ("city",)))


def test_contracts_of_models_without_given_features_are_as_before() -> None:
    contract = FeatureContract("s", "id", (Feature("x", "v", "Int64"),), {"v": "d"})
    assert contract.stored == contract
    assert contract.given.features == ()
