"""Stored features of an entity -> a verdict on each of them, and the decision whether the model may use them.

Feast does not enforce a view's ttl online, and it reports a null as PRESENT. So presence, null and age are decided
here, from the value and its moment. No I/O, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf, isinf
from typing import Any, NamedTuple

from asof.errors import EntityNotFound, MissingFeatures, StaleFeatures
from asof.features.feature_contract import Feature
from asof.features.join_keys import Entity, JoinKeys


class Verdict(StrEnum):
    """The verdict on one feature of one entity.

    OUTSIDE: outside the training range. OVERRIDDEN: a what-if request has another value in place of the stored one.
    """

    PRESENT = "PRESENT"
    NULL = "NULL"
    INFINITE = "INFINITE"
    NOT_FOUND = "NOT_FOUND"
    STALE = "STALE"
    FUTURE = "FUTURE"
    OUTSIDE = "OUTSIDE"
    OVERRIDDEN = "OVERRIDDEN"


MISSING = (Verdict.NULL, Verdict.INFINITE, Verdict.NOT_FOUND)
UNTIMELY = (Verdict.STALE, Verdict.FUTURE)


@dataclass(frozen=True)
class Policy:
    """How old a view's values may be (None: any age), and whether older or future ones are refused or only flagged."""

    max_age: timedelta | None
    refuses: bool


class StoredRow(NamedTuple):
    """One entity in the online store: value (None: a null) and moment of each feature.

    A moment is None where the view has no row of the entity, or the row lacks the feature.
    """

    features: Sequence[Feature]
    values: Sequence[Any]
    moments: Sequence[datetime | None]

    def judged(self, policies: Iterable[Policy], now: datetime) -> "list[JudgedFeature]":
        """Each feature with its verdict; `policies` are in the features' order."""
        columns = zip(self.features, self.values, self.moments, policies, strict=True)
        return [judge(*each, now) for each in columns]


@dataclass(frozen=True, slots=True)
class JudgedFeature:
    """One feature with its verdict; `age` is None where there is no row, and negative for a moment in the future."""

    feature: Feature
    value: Any
    as_of: datetime | None
    age: timedelta | None
    verdict: Verdict
    policy: Policy


def all_present(row: StoredRow, policies: Iterable[Policy], now: datetime) -> bool:
    """Whether all verdicts are PRESENT, without making JudgedFeatures. `policies` are in the features' order."""
    if None in row.values or inf in row.values or -inf in row.values:
        return False
    timely = None
    for moment_and_policy in zip(row.moments, policies, strict=True):
        if moment_and_policy == timely:  # mostly that of the feature before
            continue
        moment, policy = timely = moment_and_policy
        if moment is None or moment > now or (policy.max_age is not None and now - moment > policy.max_age):
            return False
    return True


def judge(feature: Feature, value: Any, as_of: datetime | None, policy: Policy, now: datetime) -> JudgedFeature:
    """The verdict on one feature. A null is NULL at any age. An infinite number is missing: no model takes it."""
    age = None if as_of is None else now - as_of
    return JudgedFeature(feature, value, as_of, age, _verdict(value, age, policy), policy)


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
    """The members of an answer with the moments of its values; features without a moment are left out.

    `as_of`: the oldest moment of each view. `as_of_features`: the moment of each feature of the views whose features
    differ in it; absent where there is no such view.
    """
    oldest: dict[str, datetime] = {}
    differing: set[str] = set()
    for feature, moment in zip(features, moments, strict=True):
        if moment is None:
            continue
        first = oldest.setdefault(feature.view, moment)
        if moment is not first and moment != first:
            differing.add(feature.view)
            oldest[feature.view] = min(moment, first)
    if not differing:
        return {"as_of": oldest}
    by_feature = {
        feature.name: moment
        for feature, moment in zip(features, moments, strict=True)
        if moment is not None and feature.view in differing
    }
    return {"as_of": oldest, "as_of_features": by_feature}


def require_known(keys: JoinKeys, entity: Entity, features: Iterable[JudgedFeature]) -> None:
    """Raises EntityNotFound where no view has a row of the entity, or of that part of it that some views are keyed by.

    Where users and merchants have views of their own, the error names the one that is unknown.
    """
    known: dict[tuple[str, ...], bool] = {}
    for feature in features:
        of_view = keys.of_view(feature.feature.view)
        known[of_view] = known.get(of_view, False) or feature.verdict is not Verdict.NOT_FOUND
    unknown = [names for names, has_row in known.items() if not has_row]
    # Where the user is unknown, so are all pairs with it.
    if least := [names for names in unknown if not any({*other} < {*names} for other in unknown)]:
        every = [name for names in least for name in names]
        raise EntityNotFound(keys.unknown(entity, least), entity=keys.members(entity, every))


def require_usable(keys: JoinKeys, entity: Entity, features: Sequence[JudgedFeature]) -> list[JudgedFeature]:
    """Checks that the model may use the features; returns those to be flagged in the answer.

    Raises EntityNotFound, MissingFeatures or StaleFeatures, in this order.
    """
    require_known(keys, entity, features)
    members, named = keys.members(entity), keys.describe(entity)
    if missing := [feature for feature in features if feature.verdict in MISSING]:
        text = f"{named} is known, but {_listed(missing)}: load the missing values."
        raise MissingFeatures(text, entity=members, missing_features=[_named(feature) for feature in missing])
    untimely = [feature for feature in features if feature.verdict in UNTIMELY]
    if refused := [feature for feature in untimely if feature.policy.refuses]:
        text = f"The features of {named} are not of this moment: {_listed(refused)}. {_next_step(refused)}"
        raise StaleFeatures(text, entity=members, stale_features=[timing(feature) for feature in refused])
    return untimely


def timing(judged: JudgedFeature) -> dict[str, Any]:
    """The feature, its verdict, its age and its view's limit in days."""
    return _named(judged) | {"age_days": days(judged.age), "max_age_days": days(judged.policy.max_age)}


def days(span: timedelta | None) -> float | None:
    """A time span in days, to three decimals (about a minute)."""
    return None if span is None else round(span / timedelta(days=1), 3)


def _named(judged: JudgedFeature) -> dict[str, Any]:
    return {"feature": judged.feature.name, "view": judged.feature.view, "verdict": judged.verdict.value}


def _listed(features: Iterable[JudgedFeature]) -> str:
    return ", ".join(f"{each.feature.name} is {_DESCRIPTIONS[each.verdict]}" for each in features)


_DESCRIPTIONS = {
    Verdict.NULL: "null",
    Verdict.INFINITE: "infinite",
    Verdict.NOT_FOUND: "not found",
    Verdict.STALE: "older than its view allows",
    Verdict.FUTURE: "from after the service's clock",
}


def _next_step(features: Iterable[JudgedFeature]) -> str:
    if any(feature.verdict is Verdict.FUTURE for feature in features):
        return "Set ASOF_CLOCK to the moment of the newest snapshot or later."
    return "Materialise a newer snapshot."
