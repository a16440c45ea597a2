"""A training set that leaves too few complete rows: what is null in it is named."""

from dataclasses import replace

import numpy as np
import pytest

from asof.errors import TrainingSetError
from tests.kits.models.training import made_up_set, small_use_case
from training.models.fitting.fit import divide


@pytest.mark.parametrize(
    ("nulls", "message"),
    [
        ({"hours": 1.0}, "of 800 rows usage_fv:hours is null in all; load"),
        (
            {"plan": 1.0, "tickets": 1.0},
            "of 800 rows support_fv:tickets is null in all, subs_fv:plan is null in all; load",
        ),
        (
            {"hours": 0.999, "tickets": 0.5},
            "of 800 rows usage_fv:hours is null in 799, support_fv:tickets is null in 400; load",
        ),
    ],
)
def test_a_feature_that_is_null_throughout_is_named(nulls: dict[str, float], message: str) -> None:
    whole = made_up_set()
    frame = whole.frame.astype({"tickets": "Int64"})
    for name, share in nulls.items():
        frame.loc[np.arange(len(frame)) < int(share * len(frame)), name] = None
    with pytest.raises(TrainingSetError, match=f"complete rows and not both labels: {message}"):
        divide(small_use_case("sides"), replace(whole, frame=frame))


def test_where_nothing_is_null_more_rows_are_needed() -> None:
    whole = made_up_set()
    with pytest.raises(TrainingSetError, match="and not both labels: more rows are needed"):
        divide(small_use_case("sides"), replace(whole, frame=whole.frame.head(3)))
