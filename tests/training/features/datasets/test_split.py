"""Which rows are held out: by a hash of the key alone, or drawn once, stratified by label."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from asof.errors import TrainingSetError
from asof.model_facts import Split
from training.features.datasets.split import held_out

KEYS = pd.Series([f"user-{number}" for number in range(2000)])
LABELS = (np.arange(2000) % 5 == 0).astype(np.int64)


def test_without_a_seed_a_row_is_on_the_same_side_in_any_company() -> None:
    whole = held_out(KEYS, LABELS, Split(0.25))
    some = held_out(KEYS[500:700], 1 - LABELS[500:700], Split(0.25))
    assert np.array_equal(whole[500:700], some)
    assert 0.2 < whole.mean() < 0.3


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    assert not (held_out(KEYS, LABELS, Split(0.1)) & ~held_out(KEYS, LABELS, Split(0.25))).any()


def test_with_a_seed_the_rows_are_those_of_scikit_learns_stratified_split() -> None:
    _, expected = train_test_split(np.arange(2000), test_size=0.3, stratify=LABELS, random_state=42)
    drawn = held_out(KEYS, LABELS, Split(0.3, seed=42))
    assert set(np.flatnonzero(drawn)) == set(expected)
    assert LABELS[drawn].mean() == LABELS[~drawn].mean() == 0.2


def test_too_few_rows_to_draw_from_are_reported() -> None:
    with pytest.raises(TrainingSetError, match="3 rows cannot be split"):
        held_out(KEYS[:3], np.array([0, 0, 1]), Split(0.3, seed=42))
