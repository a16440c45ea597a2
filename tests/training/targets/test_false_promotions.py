"""What is no better is promoted as rarely as the gate says, and what is better often: `python -m benchmarks gate`."""

import numpy as np
import pytest

from asof.targets import Binary, Multiclass, Regression, Target
from asof.use_case import GateBounds
from benchmarks.false_promotions.binary import BINARY
from benchmarks.false_promotions.design import Family
from benchmarks.false_promotions.measure import promotions
from benchmarks.false_promotions.multiclass import MULTICLASS
from benchmarks.false_promotions.regression import REGRESSION
from training.targets import rules_of

TARGETS = {
    BINARY.target: Binary(("a", "b")),
    MULTICLASS.target: Multiclass(("a", "b", "c")),
    REGRESSION.target: Regression("hours"),
}


@pytest.mark.parametrize(
    ("family", "design", "size", "draws", "most"),
    [
        (BINARY, "a constant for noise of two values", (515, 15), 100, 8),  # 20 % without the variance of the others
        (MULTICLASS, "a constant for noise of two values", (15, 100, 100), 100, 8),  # 20 % by the bootstrap
        (MULTICLASS, "as good as in Production", (15, 20, 25), 200, 11),
        (REGRESSION, "as good, rarely far off, log-normal", (50,), 1000, 35),  # 7 % by Student's t, 5 % by Hall's
        (REGRESSION, "as good, log-normal", (50,), 1000, 35),  # 4 to 6 % by Hall's and by the bootstrap
    ],
)
def test_an_interval_keeps_its_level(family: Family, design: str, size: tuple[int, ...], draws: int, most: int) -> None:
    """2.5 % are expected; more than `most` come by chance once in fifty times or less."""
    assert promotions(family, family.no_better[design], size, draws=draws) <= most


@pytest.mark.parametrize(("family", "size"), [(BINARY, (605, 30)), (MULTICLASS, (50, 50, 50)), (REGRESSION, (100,))])
def test_a_better_version_is_promoted_in_most_draws(family: Family, size: tuple[int, ...]) -> None:
    assert promotions(family, family.better["better than Production"], size, draws=20) >= 10


@pytest.mark.parametrize(
    ("family", "size"),
    [(family, size) for family in (BINARY, MULTICLASS, REGRESSION) for size in family.sizes if not family.enough(size)],
    ids=lambda each: each.target if isinstance(each, Family) else str(each),
)
def test_below_the_minimum_nothing_is_promoted(family: Family, size: tuple[int, ...]) -> None:
    target: Target = TARGETS[family.target]
    (only,) = rules_of(target).criteria(family.better["better than Production"].draw(size, 0), GateBounds())
    assert not only.passed
    assert "are needed" in only.reason
    assert np.isfinite([*only.figures.values()]).all()
