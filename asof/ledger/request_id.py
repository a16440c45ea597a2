"""Ids of requests: UUIDs of version 7 (RFC 9562), which begin with their time and so name their partition."""

import os
import re
import time
from datetime import UTC, datetime, timedelta

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MAX_SKEW = timedelta(minutes=1)
"""Between the time in an id of a caller and ours; another id is kept beside one of ours. The ledger has no index of
requests: who looks for one reads this much of it."""
_MAX_SKEW_MS = MAX_SKEW // timedelta(milliseconds=1)


def new_request_id() -> str:
    """A new id of this moment, to the millisecond."""
    random = bytearray(os.urandom(10))
    random[0] = random[0] & 0x0F | 0x70
    random[2] = random[2] & 0x3F | 0x80
    text = (time.time_ns() // 1_000_000).to_bytes(6, "big").hex() + random.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ledger_ids(request_id: str) -> tuple[str, str | None]:
    """The id of a request in the ledger, and that of its caller where that is none of this moment."""
    if UUID7.fullmatch(request_id) and abs(_milliseconds(request_id) - time.time_ns() // 1_000_000) < _MAX_SKEW_MS:
        return request_id, None
    return new_request_id(), request_id


def time_of(request_id: str) -> datetime:
    """The moment in an id of version 7. Raises ValueError for one after the year 9999."""
    return datetime.fromtimestamp(_milliseconds(request_id) / 1000, UTC)


def _milliseconds(request_id: str) -> int:
    return int(request_id[:8] + request_id[9:13], 16)
