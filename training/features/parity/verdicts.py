"""What the offline and the online side hold of one feature of one user -> a verdict; and how far a sample reaches.

Pure: no store, no clock.
"""

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
    """What one side holds: the moment that its row describes, the value (None: a null), the value's Feast type.

    `as_of` is None where there is no row.
    """

    as_of: datetime | None = None
    value: Any = None
    dtype: str | None = None


def judge(offline: StoredValue, online: StoredValue, oldest: datetime | None) -> Verdict:
    """The verdict on one value.

    `offline` is the newest row, and no row at all where it is from before `oldest`, as in Feast's point-in-time join
    (None: any age). Feast's online store knows no age: a row from before `oldest` that it still holds is PAST_TTL. A
    null and no row are two things; a null beside a value is a value on one side only.
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
    """With a confidence of 95 %, no greater share of all users differs, where `differing` of `users` drawn ones do.

    The one-sided exact bound of Clopper and Pearson (Biometrika 26, 1934); where none differs it is close to 3 / users,
    the rule of three (Hanley and Lippman-Hand, JAMA 249, 1983). Users are drawn and not values, for the values of one
    user differ together. Drawn without replacement the true bound is a little smaller.
    """
    from scipy.stats import beta

    return 1.0 if differing >= users else float(beta.ppf(CONFIDENCE, differing + 1, users - differing))
