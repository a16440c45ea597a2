"""The scope that each path requires: `admin`, unless it is listed."""

import pytest

from asof.serving.access.scopes import ADMIN, OPEN, OUTCOMES, PREDICT, SCOPES, scopes_for


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
