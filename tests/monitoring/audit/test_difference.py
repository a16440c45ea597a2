"""How a served value differs from its row's, in a developer's words."""

from typing import Any

import pytest

from monitoring.audit.judging.difference import difference


@pytest.mark.parametrize(
    ("served", "row", "words"),
    [
        (70.3499984741211, 70.35, "single precision"),
        (70.0, 70.35, "the fraction was cut off"),
        (71.0, 70.75, "rounded to an integer"),
        (-70.0, -70.9, "the fraction was cut off"),
        (7035.0, 70.35, "unit: it is 100"),
        (0.7035, 70.35, "divided by 100"),
        (120, 2, "60 (seconds or minutes)"),
        (-3, 3, "sign"),
        (5.5, 70.35, "it is the row's hours"),
        (1.25, 70.35, "another number"),
        (0, 5, "another number"),
        (5, 0, "another number"),
        (float("inf"), 2.0, "another number"),
        (1.0, float("inf"), "another number"),
        (1e300, 2e300, "another number"),
        (True, False, "the opposite"),
        ("no ", "no", "blanks"),
        ("NO", "no", "case"),
        ("fib", "fiber", "cut"),
        ("JosÃ©", "José", "decoded otherwise"),
        ("yes", "no", "another text"),
        ("", "no", "another text"),
        (None, 0, "a null was served for a value"),
        (0, None, "a value was served for a null"),
    ],
)
def test_the_kind_of_difference_is_named(served: Any, row: Any, words: str) -> None:
    assert words in difference(served, row, {"hours": 5.5, "flag": True, "none": None})
