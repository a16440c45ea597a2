"""A use case keyed by a UUID and an integer, with views of each and of both, in a copy of the project: the demo."""

import csv
import random
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.machine.project_copy import copy_project, run

pytestmark = pytest.mark.soak

FEATURES = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64

TIMES = {"timestamp_field": "as_of", "created_timestamp_column": "created_at"}
buyer = Entity(name="buyer", join_keys=["buyer_id"], value_type=ValueType.UUID)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)


def view(table, entities, *schema):
    source = PostgreSQLSource(name=table, table=table, **TIMES)
    return FeatureView(name=f"{table}_fv", entities=entities, ttl=timedelta(days=45), schema=[*schema], source=source)


buyers_fv = view("order_buyers", [buyer], Field(name="orders_90d", dtype=Int64))
shops_fv = view("order_shops", [shop], Field(name="rating", dtype=Float64))
both_fv = view("order_both", [buyer, shop], Field(name="spent", dtype=Float64))
orders_v1 = FeatureService(name="orders_v1", features=[buyers_fv, shops_fv, both_fv])
"""
USE_CASE = '''
"""Which orders are returned."""

import csv
import json

from pydantic import BaseModel, ConfigDict

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.features.entity_key import IntegerKey, UuidKey
from asof.targets import Binary
from asof.use_case import Estimator, FromStore, Question, UseCase

BUYER, SHOP = Column("buyer_id", Kind.UUID), Column("shop_id", Kind.INTEGER)
PAIRS = RawTable("order_pairs", (BUYER, SHOP))
EXTRACT = ExtractSchema(
    ("buyer_id", "shop_id"),
    "order_pairs",
    (
        PAIRS,
        RawTable("order_buyers", (BUYER, Column("orders_90d", Kind.INTEGER))),
        RawTable("order_shops", (SHOP, Column("rating", Kind.NUMBER))),
        RawTable("order_both", (BUYER, SHOP, Column("spent", Kind.NUMBER))),
    ),
    RawTable("order_labels", (BUYER, SHOP, Column("returned", Kind.BOOLEAN))),
    "returned",
)


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shop_id: IntegerKey
    buyer_id: UuidKey


class Answer(BaseModel):
    buyer_id: str
    shop_id: int
    probability: float
    returned: bool


def respond(request, score):
    return Answer(**request.model_dump(), probability=score.probability, returned=score.positive)


def build(contract, random_state):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def questions(month):
    with (month / "order_pairs.csv").open(newline="") as file:
        pair = next(iter(csv.DictReader(file)))
    known = {"buyer_id": pair["buyer_id"].lower(), "shop_id": int(pair["shop_id"])}
    nobody = known | {"buyer_id": "0" * 8 + known["buyer_id"][8:]}
    return [
        Question("A known pair", json.dumps(known), 200, known),
        Question("In upper case", json.dumps(known | {"buyer_id": pair["buyer_id"].upper()}), 200, known),
        Question("An unknown shop", json.dumps(known | {"shop_id": 2**62}), 404, {"entity": {"shop_id": 2**62}}),
        Question("An unknown buyer", json.dumps(nobody), 404, {"entity": {"buyer_id": nobody["buyer_id"]}}),
        Question("Text", json.dumps(known | {"shop_id": str(known["shop_id"])}), 422, {"code": "invalid-request"}),
    ]


USE_CASE = UseCase(
    name="orders",
    model_name="orders",
    title="Orders that are returned",
    source=FromStore(EXTRACT),
    target=Binary(("kept", "returned")),
    estimators={"default": Estimator("orders_v1", build, "a logistic regression")},
    request=Request,
    answer=Answer,
    respond=respond,
    questions=questions,
)
'''


def write_month(folder: Path) -> None:
    """1,200 pairs of 60 buyers and 20 shops, whose ids are odd."""
    folder.mkdir(parents=True)
    draw = random.Random(7)
    buyers = {str(uuid.UUID(int=draw.getrandbits(128), version=4)): draw.randint(0, 20) for _ in range(60)}
    shops = {shop: draw.gauss(3, 1) for shop in (0, -1, 2**63 - 1, -(2**63), *range(100, 116))}
    pairs = {(buyer, shop): draw.gauss(50, 20) for buyer in buyers for shop in shops}
    risk = {pair: buyers[pair[0]] - 4 * shops[pair[1]] + spent / 10 + draw.gauss(0, 4) for pair, spent in pairs.items()}
    tables = {
        "pairs": ("buyer_id,shop_id", pairs),
        "buyers": ("buyer_id,orders_90d", [(buyer.upper(), count) for buyer, count in buyers.items()]),
        "shops": ("shop_id,rating", shops.items()),
        "both": ("buyer_id,shop_id,spent", [(*pair, spent) for pair, spent in pairs.items()]),
        "labels": ("shop_id,buyer_id,returned", [(shop, buyer, risk[buyer, shop] > 3) for buyer, shop in pairs]),
    }
    for name, (header, rows) in tables.items():
        with (folder / f"order_{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header.split(","), *rows])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


def test_the_demo_of_a_use_case_of_two_keys_trains_serves_and_answers(
    copy: Path, world: dict[str, str], tmp_path: Path
) -> None:
    folder = copy / "asof" / "use_cases" / "orders"
    folder.mkdir()
    shutil.copy(PROJECT / "asof" / "use_cases" / "churn" / "model_card.html", folder)
    (folder / "__init__.py").write_text(USE_CASE.lstrip())
    (copy / "feature_repo" / "orders_definitions.py").write_text(FEATURES)
    write_month(tmp_path / "extracts" / "month_000")
    words = ["orders", "--data", str(tmp_path / "extracts"), "--as-of", "2024-01-31"]
    output = run(copy, f"{sys.executable} -m flows demo {' '.join(words)}", world)
    assert output.count("as the contract says") == 5, output
    assert "promoted to Production" in output
    for command in (
        "score orders",
        "inspect orders",
        "parity orders",
        "trace orders 1",
        "reproduce orders 1",
    ):
        run(copy, f"{sys.executable} -m flows {command}", world)


def test_keys_that_differ_are_refused_before_anything_is_loaded(
    copy: Path, world: dict[str, str], tmp_path: Path
) -> None:
    definitions = copy / "feature_repo" / "orders_definitions.py"
    definitions.write_text(FEATURES.replace("ValueType.INT64", "ValueType.STRING"))
    write_month(tmp_path / "month_000")
    command = f"{sys.executable} -m flows ingest orders {tmp_path} --as-of 2024-02-29"
    refused = subprocess.run(command, shell=True, cwd=copy, env=world, capture_output=True, text=True)
    definitions.write_text(FEATURES)
    words = "keyed by buyer_id (uuid), shop_id (integer), not buyer_id (uuid), shop_id (text), as feature service"
    assert words in " ".join((refused.stdout + refused.stderr).split())
    assert "Traceback" not in refused.stderr
