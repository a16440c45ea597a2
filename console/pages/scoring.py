"""The runs of `flows score` that wrote to PostgreSQL, newest first."""

import psycopg
from psycopg.rows import dict_row

from console.visit import Context, Visit
from training.data.snapshots.owned_tables import table_exists

MAX_RUNS = 50
RUNS = """
SELECT scoring_run, version, as_of, known_at, begun_at, changed_at, state, scored, answered, flagged, refused, who
FROM public.scoring_runs WHERE use_case = %s ORDER BY begun_at DESC LIMIT %s"""


def view(visit: Visit) -> Context:
    command = f"python -m flows score {visit.use_case.name}"
    with psycopg.connect(visit.settings.conninfo(default_transaction_read_only="on")) as connection:
        if not table_exists(connection, "public.scoring_runs"):
            return {"runs": [], "command": command}
        with connection.cursor(row_factory=dict_row) as cursor:
            return {"runs": cursor.execute(RUNS, (visit.use_case.name, MAX_RUNS)).fetchall(), "command": command}
