"""Findings of all values -> counts and shares, by version and by the moment whose outcome was predicted."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitoring.audit.findings import SERVED, Finding
from monitoring.audit.judging.judge import CODES, NOT_AUDITED
from monitoring.audit.judging.shares import share_interval
from monitoring.audit.reading.rows import from_microseconds
from monitoring.audit.reading.served import Moments


@dataclass(frozen=True)
class FindingShare:
    """`values` of `compared` ones, of `entities` audited entities; `low` and `high` are the ends of the 95 % interval.

    The share is None where nothing was compared. Where all entities were audited, it is its own interval.
    """

    finding: Finding
    values: int
    compared: int
    entities: int
    share: float | None
    low: float | None
    high: float | None
    features: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """The answers of a version about one moment; of a training leak the training set's moment."""

    version: str
    as_of: datetime
    shares: tuple[FindingShare, ...]


@dataclass
class Tally:
    """Running counts; `whole`: all entities are audited. Entities are codes."""

    whole: bool
    served: dict[str, list[tuple[Moments, NDArray[np.int64], NDArray[np.int64]]]] = field(default_factory=dict)
    leaked: dict[tuple[str, datetime], list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = field(default_factory=dict)
    features: Counter[tuple[str, Finding, int, str]] = field(default_factory=Counter)

    def add_served(
        self, version: str, windows: Moments, entities: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """`counts`: of each answer how many of its values are of each finding, shape (answers, findings)."""
        self.served.setdefault(version, []).append((windows, entities, counts))

    def add_feature(self, version: str, windows: Moments, name: str, findings: NDArray[np.int8]) -> None:
        """Of one feature, what is not the same."""
        for finding in SERVED[1:]:
            moments, counts = np.unique(windows[findings == CODES[finding]], return_counts=True)
            for moment, number in zip(moments.tolist(), counts.tolist(), strict=True):
                self.features[version, finding, moment, name] += number

    def add_leaks(self, version: str, as_of: datetime, entities: NDArray[np.int64], leaked: NDArray[np.int64]) -> None:
        """Of one feature in a training set."""
        self.leaked.setdefault((version, as_of), []).append((entities, leaked))

    def windows(self) -> Iterator[Window]:
        """By version and moment."""
        for version, parts in sorted(self.served.items()):
            moments, entities, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
            for moment in np.unique(moments):
                own = moments == moment
                names = {
                    finding: {
                        n: k for (v, f, m, n), k in self.features.items() if (v, f, m) == (version, finding, moment)
                    }
                    for finding in SERVED
                }
                yield Window(version, from_microseconds(moment), self._shares(entities[own], counts[own], names))
        for (version, as_of), columns in sorted(self.leaked.items()):
            yield Window(version, as_of, (self._leaks(columns),))

    def total(self) -> tuple[FindingShare, ...]:
        """Over all versions and moments."""
        parts = [each for every in self.served.values() for each in every]
        _, entities, counts = (
            (np.concatenate(each) for each in zip(*parts, strict=True))
            if parts
            else (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, len(SERVED)), np.int64))
        )
        names: dict[Finding, Counter[str]] = {finding: Counter() for finding in SERVED}
        for (_, finding, _, name), number in self.features.items():
            names[finding][name] += number
        leaked = [each for every in self.leaked.values() for each in every]
        return (*self._shares(entities, counts, names), self._leaks(leaked))

    def _shares(
        self, entities: NDArray[np.int64], counts: NDArray[np.int64], names: Mapping[Finding, Mapping[str, int]]
    ) -> tuple[FindingShare, ...]:
        _, place = np.unique(entities, return_inverse=True)
        size = int(place.max(initial=-1)) + 1
        by_entity = np.stack([np.bincount(place, each, size) for each in counts.T]).astype(np.int64)
        compared = by_entity.sum(axis=0)
        return tuple(self._share(each, by_entity[CODES[each]], compared, names[each]) for each in SERVED)

    def _leaks(self, columns: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> FindingShare:
        if not columns:
            return FindingShare(Finding.TRAINING_LEAK, 0, 0, 0, None, None, None)
        entities, leaked = (np.concatenate(each) for each in zip(*columns, strict=True))
        _, place = np.unique(entities, return_inverse=True)
        size = int(place.max(initial=-1)) + 1
        having, compared = np.bincount(place, leaked, size).astype(np.int64), np.bincount(place, minlength=size)
        return self._share(Finding.TRAINING_LEAK, having, compared, {})

    def _share(
        self, finding: Finding, having: NDArray[np.int64], compared: NDArray[np.int64], features: Mapping[str, int]
    ) -> FindingShare:
        having, compared = having[compared > 0], compared[compared > 0]
        values, total, entities = int(having.sum()), int(compared.sum()), len(compared)
        if not total:
            return FindingShare(finding, 0, 0, 0, None, None, None)
        share = values / total
        low, high = (share, share) if self.whole else share_interval(having, compared)
        return FindingShare(finding, values, total, entities, share, low, high, dict(features))


def counted(findings: NDArray[np.int8]) -> NDArray[np.int64]:
    """Of one feature: 1 at the finding of each answer, shape (answers, findings); nothing where it was not audited."""
    every = np.eye(len(SERVED) + 1, dtype=np.int64)[:, : len(SERVED)]
    return every[np.where(findings == NOT_AUDITED, len(SERVED), findings)]
