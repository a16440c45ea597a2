"""Each feature gets one verdict, and the model gets only usable features."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asof.errors import EntityNotFound, MissingFeatures, StaleFeatures
from asof.extracts.schema import Kind
from asof.features.feature_contract import Feature
from asof.features.join_keys import JoinKey, JoinKeys
from asof.inference.verdicts import (
    JudgedFeature,
    Policy,
    StoredRow,
    Verdict,
    all_present,
    judge,
    require_known,
    require_usable,
    row_moments,
)

NOW = datetime(2026, 3, 31, tzinfo=UTC)
KEYS = JoinKeys((JoinKey("user_id"),))
MONTH = timedelta(days=45)
REFUSE, FLAG, ANY_AGE = Policy(MONTH, refuses=True), Policy(MONTH, refuses=False), Policy(None, refuses=True)
FEE = Feature("monthly_fee", "subs_profile_fv", "Float64")
INSTANT = timedelta(microseconds=1)


def read(value: object = 1.0, age: timedelta | None = timedelta(0), policy: Policy = REFUSE) -> JudgedFeature:
    as_of = None if age is None else NOW - age
    return judge(FEE, value, as_of, policy, NOW)


@pytest.mark.parametrize(
    ("value", "age", "policy", "verdict"),
    [
        (1.0, timedelta(0), REFUSE, Verdict.PRESENT),
        (0, timedelta(0), REFUSE, Verdict.PRESENT),
        (False, timedelta(0), REFUSE, Verdict.PRESENT),
        ("", timedelta(0), REFUSE, Verdict.PRESENT),
        ("not applicable", timedelta(0), REFUSE, Verdict.PRESENT),
        (1.0, MONTH, REFUSE, Verdict.PRESENT),
        (1.0, MONTH + INSTANT, REFUSE, Verdict.STALE),
        (1.0, MONTH + INSTANT, FLAG, Verdict.STALE),
        (1.0, timedelta(days=4000), ANY_AGE, Verdict.PRESENT),
        (1.0, -INSTANT, ANY_AGE, Verdict.FUTURE),
        (None, timedelta(0), REFUSE, Verdict.NULL),
        (None, timedelta(days=4000), REFUSE, Verdict.NULL),
        (None, -MONTH, REFUSE, Verdict.NULL),
        (None, None, REFUSE, Verdict.NOT_FOUND),
        (inf, timedelta(0), REFUSE, Verdict.INFINITE),
        (-inf, timedelta(days=4000), FLAG, Verdict.INFINITE),
        (1.797e308, timedelta(0), REFUSE, Verdict.PRESENT),
    ],
)
def test_a_verdict_follows_from_value_age_and_policy(
    value: object, age: timedelta | None, policy: Policy, verdict: Verdict
) -> None:
    assert read(value, age, policy).verdict is verdict


def test_an_entity_without_any_row_is_unknown_and_named() -> None:
    with pytest.raises(EntityNotFound, match="'nobody'") as caught:
        require_usable(KEYS, "nobody", [read(None, None), read(None, None)])
    assert caught.value.extra == {"entity": "nobody"}


def test_a_row_makes_an_entity_known_even_with_a_null() -> None:
    require_known(KEYS, "somebody", [read(None, None), read(None)])


@pytest.mark.parametrize(("age", "verdict"), [(timedelta(0), "NULL"), (None, "NOT_FOUND")])
def test_a_missing_feature_is_listed_with_its_view(age: timedelta | None, verdict: str) -> None:
    with pytest.raises(MissingFeatures) as caught:
        require_usable(KEYS, "somebody", [read(), read(None, age)])
    assert caught.value.extra["missing_features"] == [
        {"feature": "monthly_fee", "view": "subs_profile_fv", "verdict": verdict}
    ]


@pytest.mark.parametrize(("age", "verdict"), [(timedelta(days=60), "STALE"), (timedelta(days=-1), "FUTURE")])
def test_an_untimely_feature_is_refused_or_flagged_by_its_views_policy(age: timedelta, verdict: str) -> None:
    flagged = require_usable(KEYS, "somebody", [read(), read(age=age, policy=FLAG)])
    assert [reading.verdict for reading in flagged] == [verdict]

    with pytest.raises(StaleFeatures) as caught:
        require_usable(KEYS, "somebody", [read(age=age, policy=FLAG), read(age=age)])
    assert caught.value.extra["stale_features"] == [
        {
            "feature": "monthly_fee",
            "view": "subs_profile_fv",
            "verdict": verdict,
            "age_days": age.days,
            "max_age_days": 45.0,
        }
    ]


def test_stale_and_future_values_have_different_messages() -> None:
    with pytest.raises(StaleFeatures, match=r"older than its view allows\. Materialise"):
        require_usable(KEYS, "somebody", [read(age=timedelta(days=60))])
    with pytest.raises(StaleFeatures, match=r"after the service's clock\. Set ASOF_CLOCK"):
        require_usable(KEYS, "somebody", [read(age=timedelta(days=-60))])


def test_missing_features_are_reported_before_stale_ones() -> None:
    with pytest.raises(MissingFeatures):
        require_usable(KEYS, "somebody", [read(age=timedelta(days=60)), read(None)])


def test_good_features_get_no_flag() -> None:
    assert require_usable(KEYS, "somebody", [read(), read(policy=FLAG)]) == []


AGES = st.sampled_from([None, timedelta(0), INSTANT, -INSTANT, MONTH, MONTH + INSTANT, timedelta(days=4000)])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0.0, "", False, 1.5, inf, -inf, None]), AGES, st.sampled_from([REFUSE, FLAG, ANY_AGE])
        ),
        max_size=4,
    )
)
def test_a_row_is_all_present_where_each_of_its_features_is(
    drawn: list[tuple[object, timedelta | None, Policy]],
) -> None:
    values = [None if age is None else value for value, age, _ in drawn]
    row = StoredRow([FEE] * len(drawn), values, [None if age is None else NOW - age for _, age, _ in drawn])
    policies = [policy for *_, policy in drawn]
    verdicts = {judged.verdict for judged in row.judged(policies, NOW)}
    assert all_present(row, policies, NOW) == (verdicts <= {Verdict.PRESENT})


TOTAL, HOURS = Feature("total_paid", "subs_profile_fv", "Float64"), Feature("watch_hours_30d", "usage_fv", "Float64")
EARLIER, EARLIEST = NOW - timedelta(days=4), NOW - timedelta(days=40)


@pytest.mark.parametrize(
    ("moments", "as_of", "own"),
    [
        ((NOW, NOW, NOW), (NOW, NOW), None),
        ((NOW, NOW, EARLIER), (NOW, EARLIER), None),
        ((EARLIER, NOW, NOW), (EARLIER, NOW), (EARLIER, NOW)),
        ((NOW, EARLIER, NOW), (EARLIER, NOW), (NOW, EARLIER)),
        ((NOW, EARLIEST, EARLIER), (EARLIEST, EARLIER), (NOW, EARLIEST)),
        ((None, NOW, EARLIER), (NOW, EARLIER), None),
    ],
    ids=["all alike", "views differ", "first older", "last older", "and another view", "one absent"],
)
def test_a_view_has_the_moment_of_its_oldest_value(
    moments: tuple[datetime | None, ...], as_of: tuple[datetime, ...], own: tuple[datetime, ...] | None
) -> None:
    found = row_moments([FEE, TOTAL, HOURS], moments)
    expected: dict[str, object] = {"as_of": dict(zip(("subs_profile_fv", "usage_fv"), as_of, strict=True))}
    if own:
        expected["as_of_features"] = dict(zip(("monthly_fee", "total_paid"), own, strict=True))
    assert found == expected


def test_the_oldest_of_three_moments_in_a_view_is_reported_in_any_order() -> None:
    features = [Feature(name, "subs_profile_fv", "Float64") for name in "abc"]
    for moments in permutations((NOW, EARLIER, EARLIEST)):
        found = row_moments(features, moments)
        assert found == {
            "as_of": {"subs_profile_fv": EARLIEST},
            "as_of_features": dict(zip("abc", moments, strict=True)),
        }


def test_a_single_value_is_stale_or_future_although_its_view_is_not() -> None:
    row = StoredRow([FEE, TOTAL, HOURS], [1.0, 2.0, 3.0], [NOW, NOW - timedelta(days=60), NOW + INSTANT])
    assert [judged.verdict for judged in row.judged([FLAG] * 3, NOW)] == [
        Verdict.PRESENT,
        Verdict.STALE,
        Verdict.FUTURE,
    ]
    assert not all_present(row, [FLAG] * 3, NOW)


def test_an_infinite_value_is_listed_as_missing() -> None:
    with pytest.raises(MissingFeatures, match="monthly_fee is infinite") as caught:
        require_usable(KEYS, "somebody", [read(inf), read(None)])
    assert [each["verdict"] for each in caught.value.extra["missing_features"]] == ["INFINITE", "NULL"]


PAIR = JoinKeys(
    (JoinKey("merchant_id", Kind.INTEGER, ("both", "shops")), JoinKey("user_id", Kind.TEXT, ("both", "users")))
)
UNKNOWN = [
    (["shops"], "merchant_id 7: ", {"merchant_id": 7}),
    (["users"], "user_id 'u': ", {"user_id": "u"}),
    (["both"], "merchant_id 7, user_id 'u': ", {"merchant_id": 7, "user_id": "u"}),
    (["both", "shops"], "merchant_id 7: ", {"merchant_id": 7}),
    (["shops", "users"], "merchant_id 7, nor user_id 'u': ", {"merchant_id": 7, "user_id": "u"}),
    (["both", "shops", "users"], "merchant_id 7, nor user_id 'u': ", {"merchant_id": 7, "user_id": "u"}),
]


def of_views(*without_a_row: str) -> list[JudgedFeature]:
    ages = {view: None if view in without_a_row else timedelta(0) for view in ("shops", "users", "both")}
    return [replace(read(1.0, age), feature=Feature(f"of_{view}", view, "Float64")) for view, age in ages.items()]


@pytest.mark.parametrize(("views", "words", "entity"), UNKNOWN)
def test_of_several_entities_the_unknown_one_is_named(views: list[str], words: str, entity: dict[str, object]) -> None:
    with pytest.raises(EntityNotFound, match=f"^No feature view knows {words}check the id") as refused:
        require_usable(PAIR, (7, "u"), of_views(*views))
    assert refused.value.extra["entity"] == entity


def test_of_several_known_entities_all_are_named_where_a_value_is_missing() -> None:
    features = [*of_views(), replace(read(None), feature=Feature("null", "users", "Float64"))]
    with pytest.raises(MissingFeatures, match=r"^merchant_id 7, user_id 'u' is known, but null is null") as refused:
        require_usable(PAIR, (7, "u"), features)
    assert refused.value.extra["entity"] == {"merchant_id": 7, "user_id": "u"}
    assert require_usable(PAIR, (7, "u"), of_views()) == []
