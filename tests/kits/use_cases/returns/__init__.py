"""A use case with stored and given features, for tests: does a customer of a shop send the basket back?"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.features.entity_key import EntityKey
from asof.features.feature_contract import FeatureContract
from asof.given_features import Given
from asof.targets import Binary
from asof.use_case import Estimator, FromStore, Question, Score, UseCase

KEY = Column("customer_id", Kind.TEXT)
CUSTOMERS = RawTable(
    "shop_customers", (KEY, Column("orders_90d", Kind.INTEGER, minimum=0), Column("city", Kind.TEXT, nullable=True))
)
BASKETS = RawTable(
    "shop_baskets", (KEY, Column("basket_value", Kind.NUMBER, nullable=True), Column("channel", Kind.TEXT))
)
RETURNS = RawTable("shop_returns", (KEY, Column("returned", Kind.BOOLEAN)))
EXTRACT = ExtractSchema("customer_id", "shop_customers", (CUSTOMERS, BASKETS), RETURNS, "returned")
GIVEN = Given(BASKETS, ("basket_value", "channel"))


class ReturnsRequest(BaseModel):
    """A customer and the basket, which only the caller knows."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"customer_id": "c-0001", "basket_value": 49.9, "channel": "app"}]},
    )

    customer_id: EntityKey
    basket_value: Annotated[float, Field(strict=True, ge=0)]
    channel: Literal["app", "web", "phone"]


class ReturnsAnswer(BaseModel):
    """The problem's own part of the answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"customer_id": "c-0001", "probability": 0.2}]})

    customer_id: str
    probability: float


def respond(request: ReturnsRequest, score: Score) -> ReturnsAnswer:
    return ReturnsAnswer(customer_id=request.customer_id, probability=score.probability)


def value_an_order(values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Of a given and a stored feature."""
    result: NDArray[np.float64] = values["basket_value"] / (values["orders_90d"] + 1)
    return result


def regression(contract: FeatureContract, random_state: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("categories", encode, contract.categories)], remainder=StandardScaler())
    return Pipeline([("columns", columns), ("model", LogisticRegression(random_state=random_state))])


def questions(month: Path | None) -> list[Question]:
    assert month
    with (month / "shop_customers.csv").open(encoding="utf-8") as file:
        known = next(csv.DictReader(file))["customer_id"]
    body = {"customer_id": known, "basket_value": 49.9, "channel": "app"}
    invalid = {"code": "invalid-request"}
    return [
        Question("A known customer", json.dumps(body), 200, {"customer_id": known}),
        Question("Without a basket", json.dumps({"customer_id": known}), 422, invalid),
        Question("A basket in cents", json.dumps(body | {"basket_value": 4990.0}), 422, invalid),
        Question("Unknown", json.dumps(body | {"customer_id": "nobody"}), 404, {"code": "entity-not-found"}),
    ]


USE_CASE = UseCase(
    name="returns",
    model_name="shop_returns",
    title="Returned baskets",
    source=FromStore(EXTRACT, given=GIVEN),
    target=Binary(("keeps", "returns")),
    estimators={"default": Estimator("returns_v1", regression, "a logistic regression")},
    request=ReturnsRequest,
    answer=ReturnsAnswer,
    respond=respond,
    questions=questions,
    derived={"value an order": value_an_order},
)
