"""A body is parsed into instances; memory and time stay proportionate for every body of the maximum size."""

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
def test_too_many_commas_and_brackets_are_refused_before_parsing(text: str) -> None:
    with pytest.raises(HTTPException, match=f"commas and brackets; at most {MAX_DELIMITERS} are allowed") as refused:
        instances(body(*[text] * (MAX_DELIMITERS + 1)), CHURN)
    assert refused.value.status_code == 413


def test_the_maximum_of_instances_may_name_each_measurement() -> None:
    named = json.dumps({"measurements": dict.fromkeys(NAMES, 1.25)})
    assert all(isinstance(each, CANCER) for each in instances(body(*[named] * MAX_INSTANCES), CANCER))


def test_an_object_with_too_many_members_is_refused() -> None:
    members = ",".join(f'"{number}":1' for number in range(MAX_MEMBERS + 1))
    for text in (f"{{{members}}}", f'{{"measurements": {{{members}}}}}'):
        with pytest.raises(InvalidRequest, match=f"more than {MAX_MEMBERS}"):
            instances(body(text), CANCER)


def test_a_refusal_has_no_cause_context_or_traceback() -> None:
    (refused,) = instances(body('{"a": 1, "b": 2}'), CHURN)
    assert isinstance(refused, InvalidRequest)
    assert len(refused.extra["errors"]) == 3
    assert (refused.__traceback__, refused.__cause__, refused.__context__) == (None, None, None)
