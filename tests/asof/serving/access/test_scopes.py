"""The scope that each path requires: `admin`, unless it is listed."""

import pytest

from asof.errors import Forbidden
from asof.serving.access.scopes import ADMIN, OPEN, OUTCOMES, PREDICT, SCOPES, WHAT_IF, require, scopes_for


@pytest.mark.parametrize(
    "path",
    [
        *("/predict", "/predict/batch", "/features", "/features/8547-OGMLE", "/features/a/../model"),
        *("/invocations", "/v2", "/v2/models/m", "/v2/models/m/versions/3/infer", "/v2/health/livez"),
    ],
)
def test_predictions_and_features_are_for_callers(path: str) -> None:
    assert scopes_for(path) == {PREDICT}


@pytest.mark.parametrize(
    "path",
    ["/model", "/metrics", "/health", "/", "", "/predict/", "//predict", "/feature", "/livez/", "/LIVEZ", "/x"],
)
def test_all_others_are_for_administrators(path: str) -> None:
    assert scopes_for(path) == {ADMIN}
    assert path not in OPEN


def test_outcomes_have_a_scope_of_their_own() -> None:
    assert scopes_for("/outcomes") == {OUTCOMES}


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json"])
def test_the_descriptions_are_for_every_key(path: str) -> None:
    assert scopes_for(path) == SCOPES


def test_a_scope_that_a_body_needs_is_asked_of_a_key_and_of_nobody_without_keys() -> None:
    require(WHAT_IF, {}, what="Overrides")
    require(WHAT_IF, {"key": "desk", "scopes": {PREDICT, WHAT_IF}}, what="Overrides")
    with pytest.raises(Forbidden, match="Overrides require a key with the scope what-if, which crm lacks") as refused:
        require(WHAT_IF, {"key": "crm", "scopes": {PREDICT}}, what="Overrides")
    assert refused.value.extra == {"scope": WHAT_IF}
