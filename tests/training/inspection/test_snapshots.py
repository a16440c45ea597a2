"""The data checks on snapshots in PostgreSQL: the months of the folder, as they were known at a moment."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from asof.errors import TrainingSetError
from asof.use_cases import load
from tests.kits.data.history import History, moment
from training.inspection import examine, months_in, months_known

CHURN = load("churn")


def test_months_from_the_snapshots_are_those_of_the_folder(history: History) -> None:
    in_folder = list(months_in(history.folder, CHURN.extract, first=history.plan.as_of(0)))
    known = months_known(history.settings, CHURN.extract, in_folder[-2].as_of)
    assert [month.as_of for month in known] == [month.as_of for month in in_folder[-3:-1]]
    for ours, theirs in zip(known, in_folder[-3:-1], strict=True):
        assert ours.label == theirs.label == "labels.churn_label"
        assert ours.columns == theirs.columns
        for name in theirs.frame:
            expected = pd.Series(theirs.numbers(name), theirs.frame.index)
            found = pd.Series(ours.numbers(name), ours.frame.index)
            if ours.columns[name].kind == "text":
                assert ours.frame[name].astype(str).sort_index().equals(theirs.frame[name].astype(str).sort_index())
            else:
                pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)


def test_what_was_not_known_yet_is_not_checked(history: History) -> None:
    as_of, over = moment(history.plan.as_of(1)), moment(history.plan.as_of(2))
    early = months_known(history.settings, CHURN.extract, as_of, known_at=as_of)
    late = months_known(history.settings, CHURN.extract, as_of, known_at=over + timedelta(days=3))
    missing = [examine(months).months[-1].labels for months in (early, late)]
    assert missing == [0, 400]
    kinds = [{each.finding.name for each in examine(months[-1:]).findings} for months in (early, late)]
    assert "missing-rows:usage_agg_30d" in kinds[0]
    assert "missing-rows:usage_agg_30d" not in kinds[1]


def test_a_month_that_is_not_there_is_an_error(history: History) -> None:
    with pytest.raises(TrainingSetError, match="There are no features as of 2020-01-31"):
        months_known(history.settings, CHURN.extract, datetime(2020, 1, 31, tzinfo=UTC))
    with pytest.raises(TrainingSetError, match="There are no features as of"):
        months_known(history.settings, CHURN.extract, moment(history.plan.as_of(1)) + timedelta(days=1))
