"""A frame of answers -> the rows that a challenger scores: those with a prediction, and their values by feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.features.feature_contract import FeatureContract
from asof.ledger.model_record import TEXTS
from asof.ledger.schema import VERDICT_LETTERS
from asof.ledger.spool.shadow_frames import ShadowScores
from asof.serving.shadow.tail import Kept

WHAT_IF = VERDICT_LETTERS["OVERRIDDEN"]
Place = tuple[str, int]
"""The kind of a value, and its place among those of the kind, from 0."""


def places_of(contract: FeatureContract, describes: Mapping[str, Any]) -> Mapping[str, Place | None]:
    """Where the values of a model's features are in answers of the model `describes`; None of one that is not there."""
    known = {(each["name"], each["view"] or "", each["type"]): each for each in describes["features"]}
    found = {each.name: known.get((each.name, each.view, each.dtype)) for each in contract.features}
    return {name: (each["kind"], each["place"] - 1) if each else None for name, each in found.items()}


@dataclass(frozen=True)
class Rows:
    """The answers of a frame that have a prediction, some of them chosen by their places in the frame."""

    kept: Kept
    chosen: NDArray[np.int64]

    @classmethod
    def of(cls, kept: Kept) -> "Rows":
        """All of them but hypothetical ones."""
        blocks, header = kept.blocks, kept.frame.header
        problems, verdicts = header.get("problems", {}), header.get("verdicts", {})
        if not blocks.scores.shape[1]:
            return cls(kept, np.zeros(0, dtype=np.int64))
        absent: NDArray[np.bool_] = np.isnan(blocks.scores[:, 0])
        good = [
            place
            for place in blocks.valued.tolist()
            if not absent[place] and str(place) not in problems and WHAT_IF not in verdicts.get(str(place), "")
        ]
        return cls(kept, np.array(good, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.chosen)

    def split(self, count: int) -> tuple["Rows", "Rows"]:
        """The first rows, and the others."""
        return Rows(self.kept, self.chosen[:count]), Rows(self.kept, self.chosen[count:])

    @cached_property
    def _valued(self) -> NDArray[np.int64]:
        """The rows of the chosen answers among those that have values."""
        return np.searchsorted(self.kept.blocks.valued, self.chosen)

    def numbers(self, kind: str) -> NDArray[Any]:
        """The values of all features of a kind, shape (rows, features); zero where there is none."""
        matrix: NDArray[Any] = getattr(self.kept.blocks, kind)
        return matrix[self._valued]

    def nulls(self, kind: str) -> NDArray[np.bool_]:
        """Where there is none, in the same shape."""
        width = getattr(self.kept.blocks, kind).shape[1]
        flat = self.kept.frame.header.get("nulls", {}).get(kind, ())
        return np.isin(self._valued[:, None] * width + np.arange(width), flat)

    @property
    def texts(self) -> list[Sequence[str | None]]:
        """The texts of each row, those of all features."""
        every = self.kept.frame.header["texts"]
        return [every[row] for row in self._valued.tolist()]

    def scores(self, predictions: Sequence[Any], decisions: Sequence[int | None], code: str) -> ShadowScores:
        """What the challenger says of them; `code` where it says nothing."""
        header, items = self.kept.frame.header, self.kept.blocks.items
        requests, entities = header["requests"], header["entities"]
        places = self.chosen.tolist()
        return ShadowScores(
            header["at"],
            [requests[place if len(requests) > 1 else 0] for place in places],
            [entities[place] for place in places],
            [int(items[place]) for place in places],
            predictions,
            decisions,
            {number: code for number, each in enumerate(predictions) if each is None},
        )


def columns(every: Sequence[Rows], places: Mapping[str, Place]) -> dict[str, NDArray[Any]]:
    """The values of each feature over all rows, which are of one model: numbers, or objects where there are nulls."""
    kinds = {kind for kind, _ in places.values()}
    texts = [row for each in every for row in each.texts] if TEXTS in kinds else []
    numbers = {kind: np.concatenate([each.numbers(kind) for each in every]) for kind in kinds - {TEXTS}}
    with_nulls = {kind for kind in numbers if any(kind in each.kept.frame.header.get("nulls", {}) for each in every)}
    nulls = {kind: np.concatenate([each.nulls(kind) for each in every]) for kind in with_nulls}
    found: dict[str, NDArray[Any]] = {}
    for name, (kind, number) in places.items():
        if kind == TEXTS:
            found[name] = np.array([row[number] for row in texts] + [None], dtype=object)[:-1]
        elif kind in nulls and nulls[kind][:, number].any():
            found[name] = numbers[kind][:, number].astype(object)
            found[name][nulls[kind][:, number]] = None
        else:
            found[name] = numbers[kind][:, number]
    return found


def sampled(every: Sequence[Rows], most: int) -> list[Rows]:
    """At most so many rows in all, spread evenly over them, so that a burst is not over-represented."""
    total = sum(map(len, every))
    if total <= most:
        return [each for each in every if len(each)]
    numbers = np.arange(total)
    kept = (numbers + 1) * most // total > numbers * most // total
    parts = np.split(kept, np.cumsum([len(each) for each in every])[:-1])
    chosen = [Rows(each.kept, each.chosen[part]) for each, part in zip(every, parts, strict=True)]
    return [each for each in chosen if len(each)]
