"""A body is read as instances, and no body of the greatest length takes memory or time out of proportion."""

import json

import pytest
from starlette.exceptions import HTTPException

from asof.errors import InvalidRequest
from asof.serving.batch.instances import MAX_DELIMITERS, MAX_INSTANCES, instances
from asof.serving.http.strict_json import MAX_MEMBERS
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import NAMES

CHURN, CANCER = load("churn").request, load("breast_cancer").request


def body(*texts: str) -> bytes:
    return f'{{"instances": [{",".join(texts)}]}}'.encode()


@pytest.mark.parametrize("text", ["1", "[]", "{}"])
def test_more_commas_and_brackets_than_instances_have_are_refused_before_they_are_read(text: str) -> None:
    with pytest.raises(HTTPException, match=f"commas and brackets; at most {MAX_DELIMITERS} are allowed") as refused:
        instances(body(*[text] * (MAX_DELIMITERS + 1)), CHURN)
    assert refused.value.status_code == 413


def test_as_many_instances_as_are_taken_may_name_each_measurement() -> None:
    named = json.dumps({"measurements": dict.fromkeys(NAMES, 1.25)})
    assert all(isinstance(each, CANCER) for each in instances(body(*[named] * MAX_INSTANCES), CANCER))


def test_an_object_of_more_members_than_any_body_needs_is_refused() -> None:
    members = ",".join(f'"{number}":1' for number in range(MAX_MEMBERS + 1))
    for text in (f"{{{members}}}", f'{{"measurements": {{{members}}}}}'):
        with pytest.raises(InvalidRequest, match=f"more than {MAX_MEMBERS}"):
            instances(body(text), CANCER)


def test_a_refusal_keeps_nothing_of_what_led_to_it() -> None:
    (refused,) = instances(body('{"a": 1, "b": 2}'), CHURN)
    assert isinstance(refused, InvalidRequest)
    assert len(refused.extra["errors"]) == 3
    assert (refused.__traceback__, refused.__cause__, refused.__context__) == (None, None, None)
