"""Feast's import without the compiling of its type checks; in a process of its own, as Feast is imported once."""

import json
import subprocess
import sys

import pytest

from asof.settings import PROJECT

REFUSED = {
    "Entity(name=7)": "name",
    "FeatureView(name='v', source=None, ttl='3 days')": "ttl",
    "FeatureView(name='v', source=None, entities=['user'])": "entities",
    "FeatureService(name='s', features={})": "features",
    "FeatureService(name='s', features=[], tags={'a': 1})": "tags",
    "Field(name='f', dtype='Int64')": "dtype",
}
SCRIPT = """
import json, sys, typeguard
import typeguard._decorators as decorators
compiled = []
decorators.instrument = lambda function: compiled.append(function.__qualname__) or function
decorator = typeguard.typechecked

from asof.features.feast.imports import import_feast
import_feast()
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

def outcome(call):
    try:
        return repr(eval(call))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
source = FileSource(name="s", path="nowhere.parquet", timestamp_field="as_of")
schema = [Field(name="f", dtype=Int64)]
view = FeatureView(name="v", entities=[user], ttl=timedelta(days=3), schema=schema, source=source)
good = {
    "service": FeatureService(name="s", features=[view[["f"]]]).feature_view_projections[0].features[0].name,
    "from proto": FeatureView.from_proto(view.to_proto()) == view,
    "compiled": compiled,
    "same decorator": typeguard.typechecked is decorator,
}
print(json.dumps(good | {call: outcome(call) for call in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, object]:
    words = [sys.executable, "-W", "ignore", "-c", SCRIPT, *REFUSED]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_no_class_of_feast_is_compiled_again_and_typeguard_is_as_before(outcomes: dict[str, object]) -> None:
    assert outcomes["compiled"] == []
    assert outcomes["same decorator"] is True


@pytest.mark.parametrize(("call", "argument"), REFUSED.items(), ids=REFUSED.values())
def test_an_argument_of_another_type_is_refused_by_its_name(
    outcomes: dict[str, object], call: str, argument: str
) -> None:
    assert str(outcomes[call]).startswith("TypeCheckError")
    assert f'of argument "{argument}"' in str(outcomes[call])


def test_good_definitions_are_made_as_ever(outcomes: dict[str, object]) -> None:
    assert (outcomes["service"], outcomes["from proto"]) == ("f", True)
