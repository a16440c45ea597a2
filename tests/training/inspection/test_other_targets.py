"""Data checks of labels that are classes or numbers: shifts, repetition, unrelated labels, leaks, a changed concept."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from asof.extracts.schema import Column, Kind, RawTable
from tests.kits.data.inspection import GYM, KEY, MONTHS, Frames, gym, typed_month
from training.inspection import examine
from training.inspection.month import Month

LEVELS = ("none", "few", "many")
SCHEMAS = {
    "number": replace(GYM, labels=RawTable("labels", (KEY, Column("next", Kind.NUMBER))), label="next"),
    "class": replace(GYM, labels=RawTable("labels", (KEY, Column("next", Kind.TEXT, allowed=LEVELS))), label="next"),
}


def labelled(kind: str, break_it: Callable[[Frames, Frames], None] = lambda *_: None) -> tuple[Month, Month]:
    """Two months whose label is the hours of the next one, or their level."""
    both = gym(0), gym(1)
    for number, frames in enumerate(both):
        hours = frames["visits"]["gym_hours_30d"] + np.random.default_rng(number).normal(0, 4, len(frames["visits"]))
        frames["labels"] = pd.DataFrame({"member": frames["labels"]["member"], "next": hours.clip(lower=0)})
    break_it(*both)
    if kind == "class":
        for frames in both:
            levels = pd.cut(frames["labels"]["next"], [-1, 17, 23, 1e9], labels=LEVELS)
            frames["labels"]["next"] = levels.astype(object)
    first, second = (typed_month(frames, at, SCHEMAS[kind]) for frames, at in zip(both, MONTHS, strict=True))
    return first, second


def found(kind: str, break_it: Callable[[Frames, Frames], None] = lambda *_: None) -> dict[str, str]:
    findings = examine(labelled(kind, break_it)).findings
    return {each.finding.kind: str(each.finding.severity) for each in findings if str(each.finding.severity) != "info"}


def shuffled(_: Frames, after: Frames) -> None:
    after["labels"]["next"] = after["labels"]["next"].sample(frac=1, random_state=1).to_numpy()


def repeated(before: Frames, after: Frames) -> None:
    after["labels"]["next"] = before["labels"]["next"].to_numpy()


def doubled(_: Frames, after: Frames) -> None:
    after["labels"]["next"] = after["labels"]["next"] * 2


def known_already(_: Frames, after: Frames) -> None:
    after["visits"]["spent"] = after["labels"]["next"] * 3


@pytest.mark.parametrize("kind", ["number", "class"])
def test_clean_months_have_no_findings_though_last_month_tells_much_of_this(kind: str) -> None:
    assert found(kind) == {}
    before, _ = labelled(kind)
    summary = examine([before]).months[0]
    assert (summary.labels, summary.label_rate) == (1500, None)


@pytest.mark.parametrize("kind", ["number", "class"])
@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (shuffled, {"labels-unrelated": "error", "concept": "warning"}),
        (repeated, {"labels-repeated": "error"}),
        (doubled, {"label-rate": "warning"}),
    ],
)
def test_a_broken_month_of_labels_is_found(
    kind: str, break_it: Callable[[Frames, Frames], None], expected: dict[str, str]
) -> None:
    assert expected.items() <= found(kind, break_it).items()


@pytest.mark.parametrize("kind", ["number", "class"])
def test_a_column_that_knows_the_label_is_a_leak(kind: str) -> None:
    assert found(kind, known_already)["leak"] == "error"
