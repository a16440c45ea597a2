"""The use cases, what is in Production of each, and its open alerts: for the first page. No figure is read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row

from asof.serving.access.scopes import ADMIN
from asof.settings import Settings
from asof.use_cases import load_all

Rows = Mapping[str, Mapping[str, Any]]

NEWEST_ENTRIES: LiteralString = """
SELECT DISTINCT ON (model) model AS of, event, version, at, who, reason FROM public.promotions
ORDER BY model, seq DESC"""
OPEN_ALERTS: LiteralString = """
SELECT use_case AS of, max(finished_at) AS last_run, coalesce((
    SELECT jsonb_agg(jsonb_build_object('severity', severity, 'title', title) ORDER BY severity, opened_at DESC)
    FROM public.alerts a WHERE a.use_case = r.use_case AND NOT EXISTS (
        SELECT FROM public.alert_events e WHERE e.alert = a.alert AND e.event = 'closed')
), '[]') AS alerts FROM public.monitor_runs r GROUP BY use_case"""


@dataclass(frozen=True)
class Card:
    """`current` is the newest entry of the history; `monitored` has when the `last_run` ended, and the open `alerts`.

    Errors come first. Each is None where there is none, and where the visitor may not see it.
    """

    name: str
    title: str
    current: Mapping[str, Any] | None = None
    monitored: Mapping[str, Any] | None = None


def cards(settings: Settings, scopes: Collection[str]) -> list[Card]:
    """One for each use case that loads."""
    use_cases = load_all()[0]
    if ADMIN not in scopes:
        return [Card(each.name, each.title) for each in use_cases]
    conninfo = settings.conninfo(default_transaction_read_only="on")
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        current = _rows(connection, "public.promotions", NEWEST_ENTRIES)
        monitored = _rows(connection, "public.alert_events", OPEN_ALERTS)
    return [Card(each.name, each.title, current.get(each.model_name), monitored.get(each.name)) for each in use_cases]


def _rows(connection: psycopg.Connection[DictRow], table: str, query: LiteralString) -> Rows:
    """By the column `of`; none where there is no such table yet."""
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS found", [table]).fetchone()
    return {row["of"]: row for row in connection.execute(query)} if found and found["found"] else {}
