"""The tables of monitoring, in the database of the snapshots. All are append-only."""

from typing import LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow

from training.data.snapshots.owned_tables import create_if_absent

MONITOR_RUNS: LiteralString = """
CREATE TABLE public.monitor_runs (
    run uuid PRIMARY KEY,
    use_case text NOT NULL,
    kind text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    known_at timestamptz NOT NULL,
    first timestamptz,
    last timestamptz,
    answers bigint NOT NULL,
    actor text NOT NULL,
    code_version text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX monitor_runs_use_case ON public.monitor_runs (use_case, finished_at)"""
"""`run`: a UUIDv7. `kind`: monitor, audit or shadow. `first` and `last`: the windows that it computed (`as_of`)."""

MONITOR_METRICS: LiteralString = """
CREATE TABLE public.monitor_metrics (
    run uuid NOT NULL REFERENCES public.monitor_runs,
    version text NOT NULL,
    as_of timestamptz NOT NULL,
    subject text NOT NULL,
    metric text NOT NULL,
    about text NOT NULL,
    value float8,
    low float8,
    high float8,
    n bigint NOT NULL,
    verdict text NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (run, version, as_of, subject, metric, about)
)"""
"""Figures (`monitoring.records.figure`). Of several runs the latest with a window counts."""

ALERTS: LiteralString = """
CREATE TABLE public.alerts (
    alert uuid PRIMARY KEY,
    use_case text NOT NULL,
    rule text NOT NULL,
    version text NOT NULL,
    as_of timestamptz NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    detail jsonb NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    opened_by uuid NOT NULL REFERENCES public.monitor_runs
);
CREATE INDEX alerts_use_case ON public.alerts (use_case, opened_at)"""
"""`severity`: warning or error. An alert is open until it has an event `closed`."""

ALERT_EVENTS: LiteralString = """
CREATE TABLE public.alert_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert uuid NOT NULL REFERENCES public.alerts,
    event text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX alert_events_alert ON public.alert_events (alert)"""
"""What became of an alert: seen-again, emitted, handled (`detail` names the flow run), closed (and why)."""

TABLES: dict[str, LiteralString] = {
    "monitor_runs": MONITOR_RUNS,
    "monitor_metrics": MONITOR_METRICS,
    "alerts": ALERTS,
    "alert_events": ALERT_EVENTS,
}


def create_tables(connection: Connection[TupleRow]) -> None:
    """Creates what is absent. Raises ConfigurationError if our role lacks the privilege."""
    for table, statement in TABLES.items():
        create_if_absent(connection, f"public.{table}", statement)
