"""Which ids of callers the ledger takes for those of requests."""

import time

import pytest

from asof.ledger.request_id import UUID7, ledger_ids, new_request_id


def id_at(milliseconds: int) -> str:
    """An id of version 7 with that time."""
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_an_id_of_this_moment_is_that_of_the_request(seconds: int) -> None:
    own = id_at(time.time_ns() // 1_000_000 + seconds * 1000)
    assert ledger_ids(own) == (own, None)


OTHERS = {"text": "mine", "1970": id_at(0), "after 9999": id_at(2**48 - 1), "capitals": new_request_id().upper()}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_any_other_id_is_kept_beside_one_of_ours(other: str) -> None:
    request, caller = ledger_ids(other)
    assert UUID7.fullmatch(request)
    assert caller == other
