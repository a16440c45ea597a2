"""Both sides' values, chunk by chunk -> counts of verdicts, and a few examples of each kind of difference."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from asof.features.feature_contract import Feature
from asof.features.join_keys import Entity
from training.features.parity.verdicts import StoredValue, Verdict, judge

EXAMPLES_PER_VERDICT = 3


class FeatureColumn(NamedTuple):
    """One feature of a chunk of users on both sides, and the moment before which a row is past its ttl."""

    feature: Feature
    offline: Sequence[StoredValue]
    online: Sequence[StoredValue]
    oldest: datetime | None


@dataclass(frozen=True)
class FeatureParity:
    """The number of values of one feature with each verdict, zeros included."""

    view: str
    feature: str
    dtype: str
    verdicts: Mapping[Verdict, int]


@dataclass(frozen=True)
class Example:
    """One difference, with the values of both sides.

    `entity` is as in Python, or in JSON (`JoinKeys.members`). A side without a row has no `as_of`, a null no type.
    """

    verdict: Verdict
    entity: Any
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
    """Running counts: users, those with a difference, verdicts by feature; and examples by verdict."""

    users: int = 0
    differing_users: int = 0
    verdicts: dict[Feature, Counter[Verdict]] = field(default_factory=dict)
    examples: dict[Verdict, list[Example]] = field(default_factory=dict)

    def add(self, users: Sequence[Entity], columns: Sequence[FeatureColumn]) -> None:
        """Adds one chunk."""
        differing: set[int] = set()
        for column in columns:
            sides = zip(column.offline, column.online, strict=True)
            verdicts = [judge(offline, online, column.oldest) for offline, online in sides]
            self.verdicts.setdefault(column.feature, Counter()).update(verdicts)
            for row, verdict in enumerate(verdicts):
                if verdict is not Verdict.EQUAL:
                    differing.add(row)
                    self._add_example(users[row], verdict, column, row)
        self.users += len(users)
        self.differing_users += len(differing)

    def include(self, other: "Tally") -> None:
        """Adds the counts and examples of other users."""
        self.users += other.users
        self.differing_users += other.differing_users
        for feature, verdicts in other.verdicts.items():
            self.verdicts.setdefault(feature, Counter()).update(verdicts)
        for verdict, examples in other.examples.items():
            self.examples[verdict] = [*self.examples.get(verdict, []), *examples][:EXAMPLES_PER_VERDICT]

    def features(self) -> tuple[FeatureParity, ...]:
        """The counts by feature, in the order of the columns."""
        return tuple(
            FeatureParity(feature.view, feature.name, feature.dtype, {each: counted[each] for each in Verdict})
            for feature, counted in self.verdicts.items()
        )

    def all_examples(self) -> tuple[Example, ...]:
        """The examples, ordered by verdict."""
        return tuple(example for verdict in Verdict for example in self.examples.get(verdict, []))

    def _add_example(self, user: Entity, verdict: Verdict, column: FeatureColumn, row: int) -> None:
        examples = self.examples.setdefault(verdict, [])
        if len(examples) == EXAMPLES_PER_VERDICT:
            return
        offline, online = column.offline[row], column.online[row]
        example = Example(
            verdict=verdict,
            entity=user,
            view=column.feature.view,
            feature=column.feature.name,
            offline=offline.value,
            online=online.value,
            offline_type=offline.dtype,
            online_type=online.dtype,
            offline_as_of=offline.as_of and offline.as_of.astimezone(UTC),
            online_as_of=online.as_of,
        )
        examples.append(example)
