"""The challenger beside the champion on outcomes: paired, by the rules by which the gate compares two versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.outcomes.matured import join_outcomes
from monitoring.shadow.pairs import Pairs
from training.metrics.classification import Estimate
from training.targets import rules_of
from training.targets.rules import Contest, Criterion

SEED = 7
DAY = timedelta(days=1)


@dataclass(frozen=True)
class OnOutcomes:
    """`mature` of `answers` have an outcome that counts. `gains`: by how much the challenger is better, by metric.

    `criteria` are those of the gate, as if these answers were held-out rows; where there are too few, `gains` is empty.
    """

    answers: int
    mature: int
    gains: Mapping[str, Estimate]
    criteria: Sequence[Criterion]


def on_outcomes(settings: Settings, use_case: UseCase, pairs: Pairs, span: tuple[datetime, datetime]) -> OnOutcomes:
    """`span` has the first and the last moment of the answers. Raises as `join_outcomes` does."""
    joined = join_outcomes(settings, use_case, *_moments(use_case, pairs, span)).mature
    places = _places(pairs, joined)
    rows = np.array([each for each in places if each is not None], dtype=np.int64)
    if not rows.size:
        return OnOutcomes(len(pairs), 0, {}, ())
    rules = rules_of(use_case.target)
    known = np.array([each is not None for each in places])
    labels = rules.encode(_typed(joined["outcome"][known], use_case))
    ours, theirs = pairs.challenger[rows], pairs.champion[rows]
    contest = Contest(labels, ours, theirs, rules.constant(labels), SEED)
    criteria = rules.criteria(contest, use_case.gate)
    enough = not criteria[0].name.startswith("enough")
    return OnOutcomes(len(pairs), int(rows.size), rules.gains(labels, ours, theirs) if enough else {}, criteria)


def _moments(use_case: UseCase, pairs: Pairs, span: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    """Of the predictions: the `as_of` of stored values, or the moments of the answers."""
    if not isinstance(use_case.source, FromStore):
        return span
    known = pairs.rows["target_as_of"].drop_null().to_numpy()
    if not known.size:
        return span
    first, last = (datetime.fromtimestamp(int(each) / 1e6, UTC) for each in (known.min(), known.max()))
    return first - DAY, last + DAY


def _places(pairs: Pairs, joined: Any) -> list[int | None]:
    """For each answer with an outcome its place among the pairs."""
    items = pairs.rows["item"].fill_null(-1).to_pylist()
    known = {key: place for place, key in enumerate(zip(pairs.rows["request"].to_pylist(), items, strict=True))}
    asked = zip(joined["request"], joined["item"].fillna(-1).astype(int), strict=True)
    return [known.get(key) for key in asked]


def _typed(outcomes: Any, use_case: UseCase) -> Any:
    return outcomes.astype({"Bool": bool, "String": object, "Float64": float}[use_case.target.label_type])
