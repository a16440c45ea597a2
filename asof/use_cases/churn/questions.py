"""The demo's requests and the answers that the contract promises; users are taken from the month's extract."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from asof.use_case import Question
from asof.use_cases.churn.raw_schema import NO_INTERNET, SUBSCRIPTIONS

UNKNOWN_USER = "0000-NOBODY"


def questions(month: Path | None) -> list[Question]:
    """A known user, one without internet, an unknown one, and a malformed body."""
    assert month  # noqa: S101 - churn's features come from extracts
    with (month / f"{SUBSCRIPTIONS.name}.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    online = _first(row for row in rows if row["net_service"] != NO_INTERNET)
    offline = _first(row for row in rows if row["net_service"] == NO_INTERNET)
    return [
        Question("A known user", _body(online), 200, {"user_id": online}),
        Question("A user without internet", _body(offline), 200, {"user_id": offline}),
        Question("An unknown user", _body(UNKNOWN_USER), 404, {"code": "entity-not-found"}),
        Question("A malformed body", json.dumps({"user": online}), 422, {"code": "invalid-request"}),
    ]


def _first(rows: Iterable[Mapping[str, str]]) -> str:
    return next(row["user_id"] for row in rows)


def _body(user_id: str) -> str:
    return json.dumps({"user_id": user_id})
