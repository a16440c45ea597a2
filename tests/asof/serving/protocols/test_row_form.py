"""The columns of each use case's requests, and rows without names."""

from typing import Any

import pytest

from asof import use_cases
from asof.errors import InvalidRequest
from asof.serving.http.strict_json import validated
from asof.serving.protocols.mlflow_scoring import value_of
from asof.serving.protocols.row_form import Column, row_form
from asof.use_cases.breast_cancer.data import EXAMPLE, NAMES

CANCER, CHURN, WINE = (use_cases.load(name) for name in ("breast_cancer", "churn", "wine"))


@pytest.mark.parametrize("name", use_cases.names())
def test_the_example_of_a_request_comes_back_from_its_columns(name: str) -> None:
    case = use_cases.load(name)
    example = case.request.model_json_schema()["examples"][0]
    form = row_form(case.request)
    form.check_names(list(example))
    assert form.payload(example) == example
    values = [example[name] for name in form.columns if name in example]
    assert form.of_position(values[0] if len(values) == 1 else values) == example


def test_a_list_and_named_values_inside_an_object_are_columns_too() -> None:
    columns = row_form(CANCER.request).columns
    assert columns["features"] == Column("features", "FP64", (len(NAMES),), required=False)
    assert columns["mean radius"] == Column("mean radius", "FP64", (), required=False, inside="measurements")
    assert list(columns) == ["features", *NAMES]


def test_columns_of_an_object_become_the_object() -> None:
    values = dict(zip(NAMES, EXAMPLE, strict=True))
    payload = row_form(CANCER.request).payload(values)
    assert payload == {"measurements": values}
    assert validated(payload, CANCER.request) == CANCER.request(measurements=values)


@pytest.mark.parametrize("row", [None, 7, [], ["a", "b"], {"user_id": "a"}, [["a"]], {}])
def test_a_row_that_fits_no_columns_is_refused_as_a_payload(row: Any) -> None:
    with pytest.raises(InvalidRequest):
        validated(row_form(CHURN.request).of_position([row, row] if row != ["a", "b"] else row), CHURN.request)


def test_unknown_and_missing_columns_are_named() -> None:
    with pytest.raises(InvalidRequest, match=r"body.vintage: Extra .*; body.alcohol: Field required") as refused:
        row_form(WINE.request).check_names(["vintage", *list(row_form(WINE.request).columns)[1:]])
    assert [each["at"] for each in refused.value.extra["errors"]] == ["body.vintage", "body.alcohol"]


@pytest.mark.parametrize(
    ("text", "datatype", "value"),
    [
        ("007", "BYTES", "007"),
        ("", "BYTES", ""),
        ("7", "INT64", 7),
        ("-7", "INT64", -7),
        ("7.0", "INT64", "7.0"),
        ("x", "INT64", "x"),
        ("", "INT64", None),
        ("7", "FP64", 7),
        ("1e3", "FP64", 1000.0),
        ("0,5", "FP64", "0,5"),
        ("True", "BOOL", True),
        ("false", "BOOL", False),
        ("1", "BOOL", "1"),
        ("", "BOOL", None),
    ],
)
def test_a_cell_in_csv_is_read_as_its_column(text: str, datatype: str, value: Any) -> None:
    found = value_of(text, datatype)
    assert (found, type(found)) == (value, type(value))
