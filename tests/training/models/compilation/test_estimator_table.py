"""Each estimator of the table, fitted, saved, loaded and compiled: what docs/models/estimators.md says of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

from asof.errors import AsOfError, NotCompiled
from asof.inference.runtime import ScikitLearn
from asof.settings import PROJECT
from asof.targets import TOLERANCE
from asof.trust.trusted_types import load_trusted
from tests.kits.estimators.problems import COMPILED, REFUSED, ROWS, SCIKIT_LEARN, SEVERAL, Case, Problem
from tests.kits.estimators.table import SECTIONS, markdown, problems
from training.models.compilation.compile import compile_model
from training.models.compilation.convert import convert
from training.models.fitting.servable import check_fitted, check_on_sample
from training.targets import rules_of

pytestmark = pytest.mark.filterwarnings("ignore")
PAGE = PROJECT / "docs" / "models" / "estimators.md"


def parameters() -> list[Any]:
    """A transformer hardly knows the target: of several classes they are tried by `make soak`."""
    return [
        pytest.param(case, problem, id=f"{case.title} | {problem.name}", marks=[pytest.mark.soak] * long)
        for section, listed in SECTIONS.items()
        for case in listed
        for problem in problems(section, case)
        for long in [problem is SEVERAL and section not in ("Classifiers", "Encoders of text")]
    ]


def test_the_page_has_the_table() -> None:
    """`python -c "from tests.kits.estimators.table import markdown; print(markdown())"` prints it."""
    assert PAGE.read_text(encoding="utf-8").endswith(markdown())


@pytest.mark.parametrize(("case", "problem"), parameters())
def test_an_estimator_is_compiled_or_served_by_scikit_learn_or_refused(case: Case, problem: Problem) -> None:
    rules = rules_of(problem.target)
    if case.outcome.startswith(REFUSED):
        with pytest.raises(AsOfError) as refused:
            check_on_sample(rules, case.model, ROWS, problem.labels)
        assert str(refused.value).startswith(case.outcome.removeprefix(REFUSED))
        return
    fitted = case.model.fit(ROWS, problem.labels)
    check_fitted(rules, fitted, ROWS)
    loaded = load_trusted(skops.io.dumps(fitted))
    assert np.array_equal(rules.predictions(loaded, ROWS), rules.predictions(fitted, ROWS))
    if case.outcome == COMPILED:
        check_compiled(loaded, fitted, problem)
        return
    with pytest.raises(NotCompiled) as reason:
        compile_model(loaded, ROWS, problem.output)
    assert str(reason.value) == case.outcome.removeprefix(SCIKIT_LEARN)


def check_compiled(loaded: Any, fitted: Any, problem: Problem) -> None:
    """Odd values are compared by compile_model; the rows once more here, and the graph with that of the other model."""
    compiled = compile_model(loaded, ROWS, problem.output)
    assert compiled.agreement.rows == len(ROWS)
    assert compiled.agreement.largest_difference < 1e-12
    assert compiled.agreement.flipped == 0
    said = compiled.runtime.predict({str(name): ROWS[name].to_numpy() for name in ROWS})
    expected = rules_of(problem.target).predictions(fitted, ROWS)
    np.testing.assert_allclose(np.array(said), expected, rtol=1e-12, atol=1e-12)
    again, once = (convert(each, ROWS, problem.output.graph_output) for each in (fitted, loaded))
    assert again.SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)


ODD = (0.0, -1.0, 1e6, -1e6, 1e30, float("nan"))


def odd_rows(count: int) -> list[Any]:
    """Rows with one to three values that are missing, unknown, far away or on the edge of those of the training."""
    draw, rows = np.random.default_rng(5), []
    for number in range(count):
        row = ROWS.iloc[[number]].copy()
        for column in draw.choice(ROWS.columns, draw.integers(1, 4)):
            known = ROWS[column].dropna()
            choices = ("never seen", "", None) if known.dtype == object else (*ODD, known.min(), known.max())
            value = choices[draw.integers(len(choices))]
            row[column] = pd.Series([value], index=row.index, dtype=known.dtype)
        rows.append(row)
    return rows


def answer(runtime: Any, row: Any) -> Any:
    """The prediction; None where the row is refused."""
    try:
        return np.array(runtime.predict({str(name): row[name].to_numpy() for name in row}))
    except (ValueError, TypeError):
        return None


@pytest.mark.soak
@pytest.mark.parametrize(("case", "problem"), parameters())
def test_rows_with_several_odd_values_are_answered_or_refused_alike(case: Case, problem: Problem) -> None:
    if case.outcome != COMPILED:
        return
    model = case.model.fit(ROWS, problem.labels)
    graph = compile_model(model, ROWS, problem.output).runtime
    for row in odd_rows(30):
        said, expected = (answer(each, row) for each in (graph, ScikitLearn(model, problem.output)))
        assert (said is None) is (expected is None), row.iloc[0].to_dict()
        assert said is None or problem.output.differences(said, expected).max() <= TOLERANCE, row.iloc[0].to_dict()
