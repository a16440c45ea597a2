"""Which key opens which address: whatever is not named is an administrator's."""

import pytest

from asof.serving.access.scopes import ADMIN, OPEN, PREDICT, sufficient


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/features/8547-OGMLE", "/features/a/../model"])
def test_predictions_and_features_are_for_callers(path: str) -> None:
    assert sufficient(path) == {PREDICT}


@pytest.mark.parametrize(
    "path", ["/model", "/metrics", "/health", "/", "", "/predict/", "//predict", "/features", "/livez/", "/LIVEZ", "/x"]
)
def test_all_others_are_for_administrators(path: str) -> None:
    assert sufficient(path) == {ADMIN}
    assert path not in OPEN


def test_the_description_is_for_every_key() -> None:
    assert sufficient("/docs.json") == {PREDICT, ADMIN}
