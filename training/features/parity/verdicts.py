"""The offline and the online value of one feature of one user -> a verdict; and the upper bound from a sample."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

CONFIDENCE = 0.95


class Verdict(StrEnum):
    """How the online value compares with the offline one."""

    EQUAL = "equal"
    UNEQUAL = "unequal"
    OTHER_TYPE = "other type"
    ONLY_OFFLINE = "only offline"
    ONLY_ONLINE = "only online"
    PAST_TTL = "past ttl"
    OLDER_ONLINE = "older online"
    NEWER_ONLINE = "newer online"


class StoredValue(NamedTuple):
    """What one side holds: the row's moment (None: there is no row), the value (None: a null), and its Feast type."""

    as_of: datetime | None = None
    value: Any = None
    dtype: str | None = None


def judge(offline: StoredValue, online: StoredValue, oldest: datetime | None) -> Verdict:
    """The verdict on one value.

    An `offline` row from before `oldest` (None: any age) is as none, as in Feast's point-in-time join. Feast's online
    store ignores the ttl: a row from before `oldest` that it holds is PAST_TTL. A null differs from a value, and from
    a missing row.
    """
    if offline.as_of is None or _expired(offline.as_of, oldest):
        return _without_offline(online.as_of, oldest)
    if online.as_of is None:
        return Verdict.ONLY_OFFLINE
    if online.as_of != offline.as_of:
        return Verdict.OLDER_ONLINE if online.as_of < offline.as_of else Verdict.NEWER_ONLINE
    if offline.value is None or online.value is None:
        return _with_null(offline.value, online.value)
    if offline.dtype != online.dtype:
        return Verdict.OTHER_TYPE
    return Verdict.EQUAL if offline.value == online.value else Verdict.UNEQUAL


def _without_offline(online: datetime | None, oldest: datetime | None) -> Verdict:
    if online is None:
        return Verdict.EQUAL
    return Verdict.PAST_TTL if _expired(online, oldest) else Verdict.ONLY_ONLINE


def _with_null(offline: Any, online: Any) -> Verdict:
    if offline is online:
        return Verdict.EQUAL
    return Verdict.ONLY_ONLINE if offline is None else Verdict.ONLY_OFFLINE


def _expired(moment: datetime, oldest: datetime | None) -> bool:
    return oldest is not None and moment < oldest


def upper_bound(differing: int, users: int) -> float:
    """Upper bound, with 95 % confidence, of the share of all users that differ if `differing` of `users` drawn ones do.

    The one-sided exact bound of Clopper and Pearson (Biometrika 26, 1934); if none differs it is close to 3 / users
    (Hanley and Lippman-Hand, JAMA 249, 1983). Users are drawn, not values, because a user's values differ together.
    Drawing without replacement makes the true bound a little smaller.
    """
    from scipy.stats import beta

    return 1.0 if differing >= users else float(beta.ppf(CONFIDENCE, differing + 1, users - differing))
