"""The OpenAPI document of each use case: it shows this service, and no other."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asof import use_cases
from asof.serving.api.routes import create_app
from asof.serving.http.openapi import document
from asof.use_cases.churn.payloads import ChurnRequest

OF_CHURN = re.compile(r"streamflow|churn|monthly_fee|subs_profile|7590|support_", re.IGNORECASE)
OF_CANCER = re.compile(r"breast|cancer|radius|malignant|benign|mass ", re.IGNORECASE)
OF_WINE = re.compile(r"wine|cultivar|barolo|proline", re.IGNORECASE)
OF_OTHERS = {"churn": OF_CANCER, "breast_cancer": OF_CHURN, "wine": OF_CANCER, "diabetes": OF_WINE}
OF_THE_PROJECT = re.compile(r"bentoml team|contact@|make up|localhost|README|docs/|://", re.IGNORECASE)


def described(name: str) -> dict[str, Any]:
    use_case = use_cases.load(name)
    return document(create_app(use_case), use_case, "v3-dfcfd1b5-1c0ffee1")


@pytest.mark.parametrize("name", use_cases.names())
def test_a_document_names_its_service(name: str) -> None:
    use_case, info = use_cases.load(name), described(name)["info"]
    assert (info["title"], info["version"]) == (use_case.title, "v3-dfcfd1b5-1c0ffee1")
    assert f"Use case `{name}`, model `{use_case.model_name}`" in info["description"]
    assert "contact" not in info


@pytest.mark.parametrize("name", use_cases.names())
def test_a_document_shows_nothing_of_another_service(name: str) -> None:
    text = json.dumps(described(name))
    assert not OF_OTHERS[name].findall(text)
    assert not OF_THE_PROJECT.findall(text)
    assert use_cases.load(name).model_name in text


@pytest.mark.parametrize("name", use_cases.names())
def test_each_example_is_what_its_schema_allows(name: str) -> None:
    spec = described(name)
    operations = [operation for item in spec["paths"].values() for operation in item.values()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    forms = [form for answer in answers for kind, form in answer.get("content", {}).items() if "json" in kind]
    shown = [(form["schema"], example) for form in forms for example in _examples(form)]
    assert len(shown) > 20
    for schema, example in shown:
        Draft202012Validator({**schema, "components": spec["components"]}).validate(example)


def _examples(form: dict[str, Any]) -> list[Any]:
    every = [each["value"] for each in form.get("examples", {}).values()]
    every += [form["example"]] if "example" in form else []
    for each in every:
        if "model" in each:  # FastAPI leaves what is null out of examples
            each["model"].setdefault("feature_service", None)
    return every


@pytest.mark.parametrize(
    "instance", [{"user_id": "7590-VHVEG"}, {"user_id": ""}, {"user": 1}, {}, [], None, 1, "x", True]
)
def test_a_batch_may_hold_whatever_is_answered_by_itself(instance: Any) -> None:
    spec = described("churn")
    schema = {"$ref": "#/components/schemas/ChurnRequestBatch", "components": spec["components"]}
    assert Draft202012Validator(schema).is_valid({"instances": [instance]})


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": {}}, {"instances": [1], "x": 1}, [], None])
def test_a_batch_that_is_refused_as_a_whole_is_not_described(body: Any) -> None:
    spec = described("churn")
    schema = {"$ref": "#/components/schemas/ChurnRequestBatch", "components": spec["components"]}
    assert not Draft202012Validator(schema).is_valid(body)


def test_the_id_is_described_alike_in_the_body_and_in_the_address() -> None:
    spec = described("churn")
    (parameter,) = spec["paths"]["/features/{user_id}"]["get"]["parameters"]
    body = spec["components"]["schemas"]["ChurnRequest"]["properties"]["user_id"]
    same = {"type", "minLength", "maxLength", "pattern"}
    assert {name: parameter["schema"][name] for name in same} == {name: body[name] for name in same}
    assert ChurnRequest.model_json_schema()["properties"]["user_id"]["maxLength"] == body["maxLength"]
