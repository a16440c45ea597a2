"""The global picture of the model card: mean sizes of contributions on held-out rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.kits.estimators.problems import ROWS, TWO, on_all_columns
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import explainer_of
from training.models.evaluation.contributions import Contributions, contributions, picture


@pytest.fixture(scope="module")
def found() -> Contributions:
    model = on_all_columns(LogisticRegression(max_iter=5000)).fit(ROWS, TWO.labels)
    return contributions(explainer_of(model, ROWS, compile_model(model, ROWS, TWO.output).runtime), ROWS)


def test_the_means_are_of_all_rows_the_greatest_first(found: Contributions) -> None:
    assert found.values.shape == ROWS.shape
    assert found.mean_absolute == pytest.approx(found.values.abs().mean().to_dict())
    assert list(found.mean_absolute.values()) == sorted(found.mean_absolute.values(), reverse=True)
    assert found.space == "log odds"


def test_the_picture_takes_text_gaps_and_equal_contributions(found: Contributions) -> None:
    assert picture(found).startswith(b"\x89PNG")
    assert ROWS["delay"].isna().any()
    nothing = Contributions(found.space, found.values * 0.0, found.features)
    assert picture(nothing).startswith(b"\x89PNG")
    assert not np.array_equal(found.values.to_numpy(), nothing.values.to_numpy())
