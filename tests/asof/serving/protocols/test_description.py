"""The description of the protocols: what their bodies and paths may be."""

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asof import use_cases
from asof.serving.api.routes import create_app
from asof.serving.http.openapi import document
from asof.serving.protocols.routes import add_protocols

TENSOR = {"name": "user_id", "shape": [1], "datatype": "BYTES"}


@cache
def spec() -> dict[str, Any]:
    use_case = use_cases.load("churn")
    app = create_app(use_case)
    add_protocols(app, use_case)
    return document(app, use_case, "v3")


def allows(name: str, body: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec()["components"]}
    return Draft202012Validator(schema).is_valid(body)


def test_each_parameter_in_a_path_is_described() -> None:
    for path, item in spec()["paths"].items():
        for operation in item.values():
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
            assert [f"{{{name}}}" for name in names] == [part for part in path.split("/") if part.startswith("{")]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [1]},
        {"dataframe_records": [{}], "inputs": None, "params": None},
        {"inputs": {"user_id": ["a"]}},
        {"dataframe_split": {"columns": ["user_id"], "data": [["a"]]}, "params": {}},
    ],
)
def test_rows_in_one_member_are_described(body: Any) -> None:
    assert allows("Invocation", body)


@pytest.mark.parametrize(
    "body", [{}, {"instances": None}, {"instances": []}, {"inputs": {}}, {"instances": [1], "inputs": [1]}]
)
def test_rows_in_no_member_or_in_two_are_not_described(body: Any) -> None:
    assert not allows("Invocation", body)


def test_a_tensor_is_described_with_its_data() -> None:
    assert allows("InferRequest", {"inputs": [TENSOR | {"data": ["a"]}]})
    assert not allows("InferRequest", {"inputs": [TENSOR]})
    assert not allows("InferRequest", {"inputs": [TENSOR | {"data": None}]})


def test_a_null_is_no_described_override() -> None:
    assert allows("ChurnRequestWithOptions", {"user_id": "a", "overrides": {"monthly_fee": 2.5}})
    assert not allows("ChurnRequestWithOptions", {"user_id": "a", "overrides": {"monthly_fee": None}})
