"""What was found for an entity -> a verdict on each feature, and the decision whether the model may see them.

Feast answers with whatever row it holds: it does not enforce a view's ttl online, and it calls a null PRESENT. So
presence, null and age are decided here, from the value and its moment. Pure: no store, no clock, no HTTP.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf, isinf
from typing import Any

from asof.errors import EntityNotFound, MissingFeatures, StaleFeatures
from asof.features.entity_key import next_step
from asof.features.feature_contract import Feature


class Verdict(StrEnum):
    """The verdict on one feature of one entity; OUTSIDE: of the training range."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    INFINITE = "INFINITE"
    NOT_FOUND = "NOT_FOUND"
    STALE = "STALE"
    FUTURE = "FUTURE"
    OUTSIDE = "OUTSIDE"


MISSING = (Verdict.NULL, Verdict.INFINITE, Verdict.NOT_FOUND)
UNTIMELY = (Verdict.STALE, Verdict.FUTURE)


@dataclass(frozen=True)
class Policy:
    """How old a view's values may be (None: any age), and whether a value outside that is refused or flagged."""

    max_age: timedelta | None
    refuses: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the online store holds of one feature: its value (None: a null), and the moment that it describes.

    `as_of` is None where the view has no row of the entity, or the row lacks the feature.
    """

    feature: Feature
    value: Any
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """What the online store holds of one entity: of each feature in turn its value and its moment, as in `Found`.

    Most requests need no more than these three; a Found of each feature is made where somebody looks at them singly.
    """

    features: Sequence[Feature]
    values: Sequence[Any]
    moments: Sequence[datetime | None]

    def __iter__(self) -> Iterator[Found]:
        return map(Found, self.features, self.values, self.moments)


@dataclass(frozen=True, slots=True)
class Reading:
    """One feature with its verdict; `age` is None where there is no row, and negative where it is from the future."""

    feature: Feature
    value: Any
    as_of: datetime | None
    age: timedelta | None
    verdict: Verdict
    policy: Policy


def all_present(row: FoundRow, policies: Iterable[Policy], now: datetime) -> bool:
    """Whether every feature's verdict is PRESENT, told without making a Reading of each. `policies` are theirs."""
    if None in row.values or inf in row.values or -inf in row.values:
        return False
    for moment, policy in zip(row.moments, policies, strict=True):
        if moment is None or moment > now or (policy.max_age is not None and now - moment > policy.max_age):
            return False
    return True


def judge(found: Found, policy: Policy, now: datetime) -> Reading:
    """The verdict on one feature. A null stays NULL at any age: it is missing before it is old. An infinite number is
    no measurement, and no model takes it: it counts as missing.
    """
    age = None if found.as_of is None else now - found.as_of
    return Reading(found.feature, found.value, found.as_of, age, _verdict(found.value, age, policy), policy)


def _verdict(value: Any, age: timedelta | None, policy: Policy) -> Verdict:
    if age is None:
        return Verdict.NOT_FOUND
    if value is None:
        return Verdict.NULL
    if isinstance(value, float) and isinf(value):
        return Verdict.INFINITE
    if age < timedelta(0):
        return Verdict.FUTURE
    if policy.max_age is not None and age > policy.max_age:
        return Verdict.STALE
    return Verdict.PRESENT


def row_moments(features: Sequence[Feature], moments: Sequence[datetime | None]) -> dict[str, Mapping[str, datetime]]:
    """The members of an answer that say how old its values are; features without a moment are left out.

    `as_of`: the oldest moment of each view. `as_of_features`, absent where all features of each view share theirs: the
    moment of each feature of the other views, by its name.
    """
    oldest: dict[str, datetime] = {}
    differing: set[str] = set()
    for feature, moment in zip(features, moments, strict=True):
        if moment is None:
            continue
        known = oldest.setdefault(feature.view, moment)
        if moment is not known and moment != known:
            differing.add(feature.view)
            oldest[feature.view] = min(moment, known)
    if not differing:
        return {"as_of": oldest}
    own = {
        feature.name: moment
        for feature, moment in zip(features, moments, strict=True)
        if moment is not None and feature.view in differing
    }
    return {"as_of": oldest, "as_of_features": own}


def require_known(entity: str, readings: Iterable[Reading]) -> None:
    """Raises EntityNotFound where no view has a row of the entity."""
    if all(reading.verdict is Verdict.NOT_FOUND for reading in readings):
        raise EntityNotFound(f"No feature view knows {entity!r}: {next_step(entity)}", entity=entity)


def admit(entity: str, readings: Sequence[Reading]) -> list[Reading]:
    """The readings to be flagged in the answer, where the model may see them all.

    Raises EntityNotFound, MissingFeatures or StaleFeatures, in this order: what waiting cannot cure comes first.
    """
    require_known(entity, readings)
    if missing := [reading for reading in readings if reading.verdict in MISSING]:
        text = f"{entity!r} is known, but {_listed(missing)}: load the missing values."
        raise MissingFeatures(text, entity=entity, missing_features=[_named(reading) for reading in missing])
    untimely = [reading for reading in readings if reading.verdict in UNTIMELY]
    if refused := [reading for reading in untimely if reading.policy.refuses]:
        text = f"The features of {entity!r} are not of this moment: {_listed(refused)}. {_next_step(refused)}"
        raise StaleFeatures(text, entity=entity, stale_features=[timing(reading) for reading in refused])
    return untimely


def timing(reading: Reading) -> dict[str, Any]:
    """Which feature, what is wrong with it, and by how many days."""
    return _named(reading) | {"age_days": days(reading.age), "max_age_days": days(reading.policy.max_age)}


def days(span: timedelta | None) -> float | None:
    """A time span in days, to three decimals (about a minute)."""
    return None if span is None else round(span / timedelta(days=1), 3)


def _named(reading: Reading) -> dict[str, Any]:
    return {"feature": reading.feature.name, "view": reading.feature.view, "verdict": reading.verdict.value}


def _listed(readings: Iterable[Reading]) -> str:
    return ", ".join(f"{reading.feature.name} is {_WORDS[reading.verdict]}" for reading in readings)


_WORDS = {
    Verdict.NULL: "null",
    Verdict.INFINITE: "infinite",
    Verdict.NOT_FOUND: "not found",
    Verdict.STALE: "older than its view allows",
    Verdict.FUTURE: "from after the service's clock",
}


def _next_step(readings: Iterable[Reading]) -> str:
    if any(reading.verdict is Verdict.FUTURE for reading in readings):
        return "Set ASOF_CLOCK to the moment of the newest snapshot or later."
    return "Materialise a newer snapshot."
