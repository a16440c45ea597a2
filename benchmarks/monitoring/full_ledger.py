"""`flows monitor` over a full ledger: every window computed, from the rows to the saved figures.

`python -m benchmarks.monitoring.full_ledger`, with ASOF_POSTGRES_URL set to a database that `fill` filled, measures it
in a process of its own, as a line of JSON.
"""

import json
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from asof.features.feature_contract import Feature, FeatureContract
from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.processes import run_json
from benchmarks.usage import cpu_seconds

CHURN = load("churn")
ROWS, MONTHS, TRAINED_ON = 1_000_000, 4, 7_043
KINDS = {"Float64": 14, "Int64": 3, "String": 3}
"""Twenty features."""
PLANS = ("monthly", "yearly", "two years")
FIRST = datetime(2024, 1, 31, tzinfo=UTC)
# The zeros make each row draw its own numbers.
FILL: str = """
INSERT INTO ledger.predictions (at, request, model, target_as_of, score, status, decision, entity, floats, integers,
    texts, verdicts)
SELECT %(as_of)s + interval '1 day' + n * interval '1 millisecond', gen_random_uuid(), 1, %(as_of)s, random() ^ 2,
    CASE WHEN n %% 100 = 0 THEN 404 ELSE 200 END, 0, 'user-' || n,
    (SELECT array_agg(random() + 0 * (n + k)) FROM generate_series(1, 14) k),
    (SELECT array_agg(floor(21 * random())::bigint + 0 * (n + k)) FROM generate_series(1, 3) k),
    (SELECT array_agg((ARRAY['monthly', 'yearly', 'two years'])[1 + floor(3 * random())::int + 0 * (n + k)])
        FROM generate_series(1, 3) k),
    CASE WHEN n %% 50 = 0 THEN 'O' || repeat('P', 19) END
FROM generate_series(1, %(rows)s) n"""


def measure_full_ledger(settings: Settings, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """One row: the seconds and the peak of memory, and the same again with nothing new."""
    export(settings)
    fill(settings, rows)
    for what in ("all windows", "nothing new"):
        yield {"run": what, "rows": rows} | run_json(settings.environment(), "benchmarks.monitoring.full_ledger")


def fill(settings: Settings, rows: int) -> None:
    """Answers of one version in four months with the labels of all, and what its run kept."""
    from asof.ledger.schema import create_tables
    from training.data.snapshots.tables import prepare_tables

    contract = _contract()
    run_id = _training(settings, contract)
    prepare_tables(settings, CHURN.extract)
    months = [CHURN.extract.cadence.every.after(FIRST, month) for month in range(MONTHS)]
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        create_tables(connection)
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-12-31')")
        connection.execute(
            "INSERT INTO ledger.models (id, use_case, name, version, run_id, bento, fingerprint, features, views, "
            "threshold) VALUES (1, 'churn', 'streamflow_churn', '1', %s, 'b', 'f', %s, '{v}', 0.5)",
            (run_id, Jsonb(_places(contract))),
        )
        for as_of in months:
            connection.execute(FILL.encode(), {"as_of": as_of, "rows": rows // MONTHS})
            _labels(connection, as_of, rows // MONTHS)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _labels(connection: psycopg.Connection[Any], as_of: datetime, rows: int) -> None:
    known_at, name = as_of + timedelta(days=32), CHURN.extract.labels.name
    connection.execute("SELECT months.make_month(%s, %s)", (name, as_of))
    connection.execute(
        f"INSERT INTO {name} (user_id, as_of, created_at, churn_label) "
        "SELECT 'user-' || n, %s, %s, random() < 0.3 FROM generate_series(1, %s) n".encode(),
        (as_of, known_at, rows),
    )
    files = json.dumps({f"{name}.csv": {"new_rows": rows}})
    query = "INSERT INTO loads (folder, as_of, known_at, code_version, files) VALUES ('x', %s, %s, 'c', %s)"
    connection.execute(query, (as_of, known_at, files))


def _contract() -> FeatureContract:
    features = [Feature(f"{dtype.lower()}_{n}", "v", dtype) for dtype, count in KINDS.items() for n in range(count)]
    return FeatureContract("s", "user_id", tuple(features))


def _places(contract: FeatureContract) -> list[dict[str, Any]]:
    from asof.ledger.model_record import kind_of

    seen: dict[str, int] = {}
    places = []
    for each in contract.features:
        kind = kind_of(each)
        seen[kind] = seen.get(kind, 0) + 1
        places.append({"name": each.name, "type": each.dtype, "view": "v", "kind": kind, "place": seen[kind]})
    return places


def _training(settings: Settings, contract: FeatureContract) -> str:
    """A run that kept what a real one keeps: the rows of its training set, and the reference made from them."""

    import pandas as pd

    from training.metrics.binning import binned_sample
    from training.models.evaluation.reference import Scores, reference_of_rows
    from training.models.evaluation.reference_file import REFERENCE_FILE
    from training.models.fitting.logged_rows import ROWS_FILE
    from training.models.fitting.run_record import SCHEMA_FILE
    from training.tracking.client import open_tracking

    draw = np.random.default_rng(1)
    kinds: dict[str, Any] = {
        "Float64": lambda: draw.random(TRAINED_ON),
        "Int64": lambda: draw.integers(0, 21, TRAINED_ON),
        "String": lambda: draw.choice(PLANS, TRAINED_ON),
    }
    frame = pd.DataFrame({each.name: kinds[each.dtype]() for each in contract.features})
    frame.insert(0, "user_id", [f"user-{n}" for n in range(TRAINED_ON)])
    scores = {"": Scores(binned_sample(draw.random(TRAINED_ON) ** 2), 1 / 3, 0.29)}
    reference = replace(reference_of_rows(frame, contract), scores=scores, metrics={"auc": (0.5, 0.48, 0.52)})
    client = open_tracking(settings)
    run_id: str = client.create_run(client.create_experiment("full ledger")).info.run_id
    client.log_dict(run_id, reference.to_dict(), REFERENCE_FILE)
    client.log_dict(run_id, contract.to_dict(), SCHEMA_FILE)
    with TemporaryDirectory() as folder:
        frame.to_parquet(Path(folder) / ROWS_FILE)
        client.log_artifact(run_id, str(Path(folder) / ROWS_FILE))
    return run_id


def main() -> None:
    """Runs the command's stage once."""
    from flows.stages.monitoring.monitor import monitor

    before, begun = cpu_seconds([os.getpid()]), perf_counter()
    done = monitor("churn")
    seconds, peak = perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = round(cpu_seconds([os.getpid()]) - before, 1)
    measured = {"seconds": round(seconds, 1), "CPU s": spent, "peak MiB": round(peak)}
    print(json.dumps({"windows": len(done["windows"]), "answers": done["answers"], **measured}))


if __name__ == "__main__":
    main()
