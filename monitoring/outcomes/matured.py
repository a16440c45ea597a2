"""Predictions joined with their outcomes: what every figure on outcomes is computed from.

The ledger and the labels may be in two databases, so each is read by a COPY of its own, and the two are joined here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.outcomes.answers import CountedAnswers, counted_answers
from monitoring.outcomes.labels import KnownLabels, known_labels
from monitoring.outcomes.maturity import Maturity, maturity_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class JoinedOutcomes:
    """One row for each prediction that counts, shape (n, columns), in the order of as_of and entity.

    The columns: at, request, item, entity, as_of, version, run_id, score, scores (of several classes: a list),
    decision (the place of the answered class), threshold, outcome (as labels are; null: none), observed_at and
    created_at of the outcome, acted, control, and maturity. `known_at`: later rows are left out.
    """

    frame: "pd.DataFrame"
    known_at: datetime

    @property
    def mature(self) -> "pd.DataFrame":
        """The rows that count; each has an outcome."""
        return self.frame[self.frame["maturity"] == Maturity.MATURE]

    @property
    def share(self) -> float | None:
        """The share of mature rows, to be shown beside every figure of them; None without rows."""
        return len(self.mature) / len(self.frame) if len(self.frame) else None

    @property
    def tally(self) -> Mapping[Maturity, int]:
        """The number of rows of each maturity."""
        counts = self.frame["maturity"].value_counts()
        return {each: int(counts.get(each, 0)) for each in Maturity}


def join_outcomes(
    settings: Settings, use_case: UseCase, first: datetime, last: datetime, *, known_at: datetime | None = None
) -> JoinedOutcomes:
    """The predictions of the moments from `first` to `last`, with the outcomes that were known at `known_at`.

    With the same `known_at` the result is the same, whatever became known since. Raises HistoryError where it is in
    the future, ConfigurationError where a database is not set, psycopg.Error where one is away.
    """
    answers = counted_answers(settings, use_case, first, last, known_at)
    frame = _frame(answers)
    if not isinstance(use_case.source, FromStore):
        frame["maturity"] = frame["outcome"].isna().map({True: Maturity.WAITING, False: Maturity.MATURE})
        return JoinedOutcomes(frame, answers.known_at)
    labels = known_labels(settings, use_case.extract, first, last, answers.known_at)
    frame = _with_labels(frame, labels, use_case)
    frame["maturity"] = _maturity(frame, use_case, answers, labels)
    return JoinedOutcomes(frame, answers.known_at)


def _frame(answers: CountedAnswers) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as arrow

    types = {arrow.int64(): pd.Int64Dtype(), arrow.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = answers.rows.to_pandas(types_mapper=types.get)
    frame["scores"] = frame["scores"].map(json.loads, na_action="ignore")
    return frame


def _with_labels(frame: "pd.DataFrame", labels: KnownLabels, use_case: UseCase) -> "pd.DataFrame":
    """The labels in place of reported outcomes that are not observed later: labels are those of the horizon's end."""
    import pandas as pd
    import pyarrow as arrow

    known = labels.rows.to_pandas(types_mapper={arrow.bool_(): pd.BooleanDtype()}.get).dropna(subset="label")
    frame = frame.merge(known, how="left", on=["entity", "as_of"])
    ends = {each: use_case.extract.cadence.labels_known(each) for each in frame["as_of"].unique()}
    end = frame["as_of"].map(ends).astype("datetime64[us, UTC]")
    created = frame["label_created_at"]
    older = (frame["observed_at"] < end) | ((frame["observed_at"] == end) & (frame["created_at"] <= created))
    by_label = created.notna() & (frame["observed_at"].isna() | older)
    for column, values in {"outcome": frame["label"], "observed_at": end, "created_at": created}.items():
        frame[column] = frame[column].mask(by_label, values)
    return frame.drop(columns=["label", "label_created_at"])


def _maturity(
    frame: "pd.DataFrame", use_case: UseCase, answers: CountedAnswers, labels: KnownLabels
) -> "pd.Series[Any]":
    cadence = use_case.extract.cadence
    by_moment = {}
    for as_of in frame["as_of"].unique():
        moment = as_of.to_pydatetime()
        completed = [*labels.loaded.get(moment, ()), *answers.completed.get(moment, ())]
        by_moment[as_of] = maturity_of(moment, cadence, completed, answers.known_at)
    maturity = frame["as_of"].map(by_moment).astype(object)
    return maturity.mask((maturity == Maturity.MATURE) & frame["outcome"].isna(), Maturity.UNLABELLED)
