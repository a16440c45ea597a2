"""Both sides' values, one chunk of users after another -> counts of verdicts, and a few examples of each difference."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asof.features.feature_contract import Feature
from training.features.parity.verdicts import StoredValue, Verdict, judge

EXAMPLES = 3
"""Rows shown of each kind of difference."""


class Column(NamedTuple):
    """One feature of a chunk of users: what each side holds of each, and the moment before which a row is too old."""

    feature: Feature
    offline: Sequence[StoredValue]
    online: Sequence[StoredValue]
    oldest: datetime | None


@dataclass(frozen=True)
class FeatureParity:
    """One feature: how many users' values got each verdict, every verdict named."""

    view: str
    feature: str
    dtype: str
    verdicts: Mapping[Verdict, int]


@dataclass(frozen=True)
class Example:
    """One difference, with what both sides hold; a side without a row has no `as_of`, a null no type."""

    verdict: Verdict
    entity: str
    view: str
    feature: str
    offline: Any
    online: Any
    offline_type: str | None
    online_type: str | None
    offline_as_of: datetime | None
    online_as_of: datetime | None


@dataclass
class Tally:
    """What has been counted so far: users, those with a difference, verdicts by feature, examples by verdict."""

    users: int = 0
    differing_users: int = 0
    verdicts: dict[Feature, Counter[Verdict]] = field(default_factory=dict)
    examples: dict[Verdict, list[Example]] = field(default_factory=dict)

    def add(self, users: Sequence[str], columns: Sequence[Column]) -> None:
        """Counts one chunk."""
        differing: set[int] = set()
        for column in columns:
            sides = zip(column.offline, column.online, strict=True)
            verdicts = [judge(offline, online, column.oldest) for offline, online in sides]
            self.verdicts.setdefault(column.feature, Counter()).update(verdicts)
            found = [row for row, verdict in enumerate(verdicts) if verdict is not Verdict.EQUAL]
            differing.update(found)
            for row in found:
                self._show(users[row], verdicts[row], column, row)
        self.users += len(users)
        self.differing_users += len(differing)

    def features(self) -> tuple[FeatureParity, ...]:
        """In the order in which they came."""
        return tuple(
            FeatureParity(feature.view, feature.name, feature.dtype, {each: counted[each] for each in Verdict})
            for feature, counted in self.verdicts.items()
        )

    def shown(self) -> tuple[Example, ...]:
        """The examples, those of a kind together."""
        return tuple(example for verdict in Verdict for example in self.examples.get(verdict, []))

    def _show(self, user: str, verdict: Verdict, column: Column, row: int) -> None:
        shown = self.examples.setdefault(verdict, [])
        if len(shown) < EXAMPLES:
            shown.append(_example(user, verdict, column.feature, column.offline[row], column.online[row]))


def _example(user: str, verdict: Verdict, feature: Feature, offline: StoredValue, online: StoredValue) -> Example:
    return Example(
        verdict=verdict,
        entity=user,
        view=feature.view,
        feature=feature.name,
        offline=offline.value,
        online=online.value,
        offline_type=offline.dtype,
        online_type=online.dtype,
        offline_as_of=offline.as_of and offline.as_of.astimezone(UTC),
        online_as_of=online.as_of,
    )
