"""A lighter version that is equivalent may replace the one in Production, where the use case asks for it."""

from dataclasses import replace

import numpy as np
import pytest

from asof.errors import ConfigurationError
from asof.targets import Binary, Multiclass, Regression, Target
from asof.use_case import GateBounds
from training.targets import rules_of
from training.targets.rules import Contest, Criterion

COMPILED = "compiled, which version 1 is not"
ASKED = GateBounds(equivalence_margin=0.05)
TARGETS = (Binary(("stays", "leaves")), Multiclass(("low", "middle", "high")), Regression("hours"))


def contest(target: Target, rows: int, *, worse: float = 0.0, lighter: str = COMPILED) -> Contest:
    """Two models that differ by a little noise; `worse` by so much of what the champion knows."""
    generator = np.random.default_rng(rows)
    labels = np.arange(rows) % (2 if isinstance(target, Binary) else 3)
    truth = np.eye(3)[labels] * 2 + generator.normal(0, 1, (rows, 3))
    ours = (1 - worse) * truth + generator.normal(0, 0.05 + worse, (rows, 3))
    if isinstance(target, Regression):
        outcome, constant = truth[:, 0], 0.0
        errors = generator.normal(0, 1, rows)
        predicted = (outcome + (1 + worse) * errors + generator.normal(0, 0.05, rows), outcome + errors)
        return Contest(outcome, *predicted, constant, seed=0, lighter=lighter)
    columns = slice(0, 2) if isinstance(target, Binary) else slice(0, 3)
    powers = [np.exp(each[:, columns]) for each in (ours, truth)]
    one, other = (each / each.sum(axis=1, keepdims=True) for each in powers)
    if isinstance(target, Binary):
        return Contest(labels, one[:, 1], other[:, 1], 0.5, seed=0, lighter=lighter)
    return Contest(labels, one, other, np.full(3, 1 / 3), seed=0, lighter=lighter)


def first(target: Target, judged: Contest, bounds: GateBounds = ASKED) -> Criterion:
    """The criterion of the better metric."""
    return rules_of(target).criteria(judged, bounds)[0]


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: type(each).__name__)
def test_only_what_is_equivalent_and_lighter_replaces_and_only_where_it_is_asked_for(target: Target) -> None:
    same = contest(target, 3000)
    found = first(target, same)
    assert found.passed
    assert found.name.endswith(", or equivalent and lighter")
    assert found.ground == f"equivalent within 0.05, and {COMPILED}"
    assert found.reason.endswith(f"; equivalent within 0.05 either way; {COMPILED}")
    assert (found.figures["equivalent"], found.figures["lighter"]) == (1, 1)

    by_default = first(target, same, GateBounds())
    assert (by_default.passed, by_default.ground) == (False, "")
    assert "equivalent" not in by_default.name + by_default.reason

    no_lighter = first(target, replace(same, lighter=""))
    assert not no_lighter.passed
    assert no_lighter.reason.endswith("; equivalent within 0.05 either way; not lighter to serve")

    worse = first(target, contest(target, 3000, worse=0.5))
    assert not worse.passed
    assert f"; not shown to be equivalent within 0.05 either way; {COMPILED}" in worse.reason

    few = first(target, contest(target, 60), GateBounds(equivalence_margin=0.001))
    assert (few.passed, few.figures["equivalent"]) == (False, 0)


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: type(each).__name__)
def test_a_better_version_needs_no_equivalence_and_every_other_criterion_stays(target: Target) -> None:
    judged = contest(target, 3000, worse=0.5)
    turned = replace(judged, challenger=judged.champion_or_constant, champion=judged.challenger, lighter="")
    found = first(target, turned)
    assert (found.passed, found.ground) == (True, "")
    with_it, without = (
        [each.name for each in rules_of(target).criteria(judged, bounds)[1:]] for bounds in (ASKED, GateBounds())
    )
    assert with_it == without


@pytest.mark.parametrize("margin", [0.0, -0.01, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ConfigurationError, match="must be finite and above zero"):
        GateBounds(equivalence_margin=margin)


def test_a_minimum_of_rows_of_which_there_is_no_interval_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="an interval needs at least 2"):
        GateBounds(min_rows_per_class=1)


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: type(each).__name__)
def test_a_use_case_sets_its_own_minimum_of_rows(target: Target) -> None:
    judged = contest(target, 45, worse=0.5)
    lower, higher = GateBounds(min_rows_per_class=5, min_rows=20), GateBounds(min_rows_per_class=40, min_rows=46)
    assert not first(target, judged, lower).name.startswith("enough held-out rows")
    refused = first(target, judged, higher)
    assert refused.name.startswith("enough held-out rows")
    assert f"at least {46 if isinstance(target, Regression) else 40}" in refused.reason
