"""Where a data check begins to speak, and where it keeps silent: just within its bounds and just beyond."""

import numpy as np
import pytest

from tests.kits.data.inspection import ROWS, Break, Frames, months
from training.inspection.checks.labels.agreement import label_agreement, label_rate
from training.inspection.checks.labels.concept import concept_change, quality_change
from training.inspection.finding import Finding
from training.inspection.month import Pair, pair_of
from training.metrics.statistics import ALARM


def compared(break_it: Break, *, rows: int = ROWS) -> Pair:
    return pair_of(*months(break_it, rows=rows))


def named(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.kind, str(each.severity)) for each in findings]


def shuffled_labels(_: Frames, after: Frames) -> None:
    after["labels"]["left"] = after["labels"]["left"].sample(frac=1, random_state=1).to_numpy()


def twenty_others_leave(before: Frames, after: Frames) -> None:
    for offset, frames in enumerate((before, after)):
        frames["labels"]["left"] = frames["labels"].index % 75 == 1 + offset


def some_more_leave(share: float) -> Break:
    def change(_: Frames, after: Frames) -> None:
        after["labels"]["left"] |= np.random.default_rng(6).random(len(after["labels"])) < share

    return change


def some_leave_for_no_reason(share: float) -> Break:
    """A share of the members leave, or stay, by the throw of a die; about as many as before."""

    def change(_: Frames, after: Frames) -> None:
        die = np.random.default_rng(4)
        some = die.random(len(after["labels"])) < share
        after["labels"]["left"] = np.where(some, die.random(some.size) < 0.33, after["labels"]["left"])

    return change


def three_hundred_regions(*both: Frames) -> None:
    """More than scikit-learn's trees take."""
    for frames in both:
        members = frames["members"]
        members["region"] = (members.index % 300).astype(str)


@pytest.mark.parametrize(("rows", "expected"), [(400, []), (1500, [("labels-unrelated", "error")])])
def test_unrelated_labels_are_reported_where_enough_rows_rule_a_relation_out(
    rows: int, expected: list[tuple[str, str]]
) -> None:
    assert named(label_agreement(compared(shuffled_labels, rows=rows))) == expected


def test_the_agreement_of_a_few_leavers_is_no_evidence() -> None:
    assert named(label_agreement(compared(twenty_others_leave))) == []


@pytest.mark.parametrize(("share", "severity"), [(0.025, "info"), (0.05, "warning")])
def test_a_sure_change_of_the_label_rate_is_an_alarm_from_two_points_on(share: float, severity: str) -> None:
    assert named(label_rate(compared(some_more_leave(share), rows=40_000))) == [("label-rate", severity)]


@pytest.mark.parametrize(("rows", "share"), [(1500, 0.35), (20_000, 0.14)])
def test_a_loss_that_is_unsure_or_small_is_no_change_of_concept(rows: int, share: float) -> None:
    pair = compared(some_leave_for_no_reason(share), rows=rows)
    found = quality_change(pair)
    assert found is not None
    assert (found.loss > found.drop, found.p_value < ALARM) == (rows == 1500, rows > 1500)
    assert concept_change(pair) == []


def test_a_concept_is_not_judged_by_a_few_leavers() -> None:
    assert quality_change(compared(shuffled_labels, rows=300)) is None


def test_a_concept_is_judged_without_the_texts_of_many_levels() -> None:
    assert quality_change(compared(three_hundred_regions)) is not None
