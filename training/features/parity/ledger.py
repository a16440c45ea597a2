"""Parity -> a row of the table `parity_checks`, for plots and alerts over time."""

import psycopg

from asof.settings import Settings
from training.data.snapshots.owned_tables import create_if_absent
from training.features.parity.check import Parity
from training.features.parity.verdicts import Verdict

TABLE = "public.parity_checks"
CREATE = """
CREATE TABLE public.parity_checks (
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    use_case text NOT NULL,
    as_of timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    population bigint NOT NULL,
    users bigint NOT NULL,
    differing_users bigint NOT NULL,
    differing_at_most double precision NOT NULL,
    values_wrong bigint NOT NULL,
    values_past_ttl bigint NOT NULL
)"""
INSERT = """
INSERT INTO public.parity_checks (use_case, as_of, known_at, population, users, differing_users, differing_at_most,
    values_wrong, values_past_ttl)
VALUES (%(use_case)s, %(as_of)s, %(known_at)s, %(population)s, %(users)s, %(differing_users)s, %(differing_at_most)s,
    %(wrong)s, %(past_ttl)s)"""


def record_parity(settings: Settings, parity: Parity) -> Parity:
    """Appends the comparison to the table and returns it."""
    row = vars(parity) | {"wrong": parity.wrong, "past_ttl": parity.verdicts[Verdict.PAST_TTL]}
    with psycopg.connect(settings.conninfo()) as connection:
        create_if_absent(connection, TABLE, CREATE)
        connection.execute(INSERT, row)
    return parity
