"""`python -m flows score` beside its bare model on an array in memory, a bare COPY, and reading the features alone.

The COPY is of the key, the moment and the 17 features of each user, joined by key as an expert would write it for rows
that are all of one moment; nothing is done with its bytes. The bare model is measured on one thread, twice: compiled,
as in serving and scoring, on typed arrays of its input; and scikit-learn's last step, on an array made by the steps
before.

`python -m benchmarks.offline.scoring MEASUREMENT VERSION FOLDER`, with ASOF_POSTGRES_URL set to a database that
`measure_scoring` filled, is one measurement in a process of its own, as a line of JSON.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asof.settings import Settings, export
from asof.use_cases import load
from benchmarks.offline.history import last_day, write_history
from benchmarks.offline.stages import simulate, snapshot, train_version
from benchmarks.processes import run_json

if TYPE_CHECKING:
    from training.scoring.reading import Chunk

MONTHS = 2
TRAINED_ON = 7_043
ESTIMATORS = ("seed-baseline", "default")
CHUNKS_IN_MEMORY = 3
"""For the bare model: enough for a second or more."""
AS_OF = f"{last_day(MONTHS - 1).isoformat()}T00:00:00+00:00"
COPIED = {
    "subscriptions": "as_of, months_active, monthly_fee, total_paid, paperless_billing, contract_type, plan_stream_tv,"
    " plan_stream_movies, net_service",
    "usage_agg_30d": "watch_hours_30d, unique_devices_30d, skips_7d, rebuffer_events_7d",
    "payments_agg_90d": "failed_payments_90d",
    "support_agg_90d": "support_tickets_90d",
    "users": "user_is_senior, has_family, has_dependents",
}
OF_MOMENT = """
(SELECT DISTINCT ON (user_id) user_id, {columns} FROM {table}
 WHERE as_of = '{as_of}' ORDER BY user_id, created_at DESC) AS {table}"""
"""The newest version of each row."""


def measure_scoring(models: Settings, settings: Settings, users: int) -> Iterator[dict[str, Any]]:
    """One row for each estimator, trained in the database of `models`, scoring the users in that of `settings`.

    Raises AssertionError if a user was not scored.
    """
    from training.features.materialisation.feature_registry import apply_features

    versions = _versions(models)
    export(settings)
    begun = perf_counter()
    write_history(settings, users=users, months=MONTHS)
    written = perf_counter() - begun
    apply_features(settings)
    for estimator, version in versions.items():
        with TemporaryDirectory() as folder:
            yield {"model": estimator, "users": users, "written in s": round(written)} | _row(
                settings, version, folder, users
            )


def _row(settings: Settings, version: str, folder: str, users: int) -> dict[str, Any]:
    def run(name: str) -> dict[str, Any]:
        return run_json(settings.environment(), "benchmarks.offline.scoring", name, version, folder)

    names = ("bare", "sklearn", "copy", "reading", "postgres", "parquet", "copy", "bare")
    first, plain, copied, read, table, parts, again, second = map(run, names)
    if len({each["users"] for each in (copied, read, table, parts)} | {users}) != 1:
        raise AssertionError(f"Of {users} users {table['users']}, {parts['users']}, {read['users']} were read.")
    compiled, library = statistics.mean([first["speed"], second["speed"]]), plain["speed"]
    copy = statistics.mean([copied["speed"], again["speed"]])
    return {
        "compiled /s": round(compiled),
        "scikit-learn /s": round(library),
        "COPY /s": round(copy),
        "reading /s": round(read["speed"]),
        "PostgreSQL /s": round(table["speed"]),
        "Parquet /s": round(parts["speed"]),
        "seconds, PostgreSQL, Parquet of COPY": f"{copy / table['speed']:.2f}, {copy / parts['speed']:.2f}",
        "PostgreSQL, Parquet of compiled": _ratios(table, parts, compiled),
        "of scikit-learn": _ratios(table, parts, library),
        "peak MiB": max(table["peak_mib"], parts["peak_mib"]),
    }


def _ratios(table: dict[str, Any], parts: dict[str, Any], bare: float) -> str:
    return f"{table['speed'] / bare:.2f}, {parts['speed'] / bare:.2f}"


def _versions(settings: Settings) -> dict[str, str]:
    """Both estimators, trained on as many simulated users as the real extracts have."""
    from training.features.materialisation.feature_registry import apply_features

    export(settings)
    with TemporaryDirectory() as folder:
        extracts = Path(folder) / "extracts"
        simulate(settings, extracts, TRAINED_ON)
        snapshot(settings, extracts, TRAINED_ON)
    apply_features(settings)
    return {name: train_version(settings, name).version for name in ESTIMATORS}


def _chunks(settings: Settings, version: str) -> "Iterator[Chunk]":
    from training.data.snapshots.reading.known_at import tables_known_at
    from training.ranges.plan import ranges_between
    from training.release.registry.versions import model_version
    from training.scoring.reading import read_chunks, read_features
    from training.scoring.work import CHUNK_USERS

    use_case, as_of = load("churn"), datetime.fromisoformat(AS_OF)
    features = read_features(settings, model_version(settings, use_case, version).facts.contract)
    with tables_known_at(settings, use_case.extract, as_of=as_of, known_at=settings.now()) as tables:
        (whole,) = ranges_between([], as_of=as_of, known_at=settings.now())
        yield from read_chunks(tables, use_case.extract, features, whole, size=CHUNK_USERS)


def bare(settings: Settings, version: str, _: str) -> dict[str, float]:
    """The compiled model, on typed arrays of its input."""
    from asof.inference.served_model import load_verified
    from training.release.registry.versions import model_version, verified_version

    use_case = load("churn")
    with verified_version(settings, model_version(settings, use_case, version)) as verified:
        model = load_verified(verified, use_case)
    arrays = list(_in_memory(settings, version))
    begun = perf_counter()
    done = sum(len(model.runtime.predict(each)) for each in arrays)
    return {"users": done, "speed": done / (perf_counter() - begun)}


def sklearn(settings: Settings, version: str, _: str) -> dict[str, float]:
    """The last step of the fitted pipeline, on one thread, on arrays made by the steps before."""
    from asof.features.feature_contract import as_frame
    from training.one_thread import one_thread
    from training.release.registry.versions import load_model, model_version

    fitted = load_model(settings, model_version(settings, load("churn"), version))
    pipeline: Any = getattr(fitted, "best_estimator_", fitted)
    with one_thread():
        arrays = [pipeline[:-1].transform(as_frame(each)) for each in _in_memory(settings, version)]
        begun = perf_counter()
        done = sum(len(pipeline[-1].predict_proba(each)) for each in arrays)
        return {"users": done, "speed": done / (perf_counter() - begun)}


def _in_memory(settings: Settings, version: str) -> Iterator[dict[str, Any]]:
    """The model's input, chunk by chunk, without users that lack a feature and cannot be scored."""
    import numpy as np

    from asof.features.feature_contract import input_arrays
    from training.release.registry.versions import model_version

    use_case = load("churn")
    facts = model_version(settings, use_case, version).facts
    for chunk in islice(_chunks(settings, version), CHUNKS_IN_MEMORY):
        whole = ~np.any([column.nulls for column in chunk.columns.columns], axis=0)
        yield input_arrays(chunk.columns.values(whole), facts.contract, use_case.derivations(facts.derived))


def copy(settings: Settings, _: str, __: str) -> dict[str, float]:
    """The bare COPY. It is one statement; PostgreSQL chooses its plan."""
    import psycopg

    sets = [OF_MOMENT.format(table=table, columns=columns, as_of=AS_OF) for table, columns in COPIED.items()]
    query = f"COPY (SELECT * FROM {' LEFT JOIN '.join([sets[0], *(f'{each} USING (user_id)' for each in sets[1:])])}"
    with psycopg.connect(settings.conninfo()) as connection, connection.cursor() as cursor:
        begun = perf_counter()
        with cursor.copy(f"{query} ORDER BY user_id) TO STDOUT (FORMAT binary)".encode()) as rows:
            done = sum(1 for _ in rows) - 1  # the trailer
        return {"users": done, "speed": done / (perf_counter() - begun)}


def reading(settings: Settings, version: str, _: str) -> dict[str, float]:
    """Reading the features of all users."""
    begun = perf_counter()
    done = sum(map(len, _chunks(settings, version)))
    return {"users": done, "speed": done / (perf_counter() - begun)}


def to_postgres(settings: Settings, version: str, _: str) -> dict[str, float]:
    return _scored(settings, version, "postgres")


def to_parquet(settings: Settings, version: str, folder: str) -> dict[str, float]:
    return _scored(settings, version, folder)


def _scored(settings: Settings, version: str, to: str) -> dict[str, float]:
    from training.scoring.score import score_users

    done = score_users(settings, load("churn"), as_of=datetime.fromisoformat(AS_OF), version=version, to=to)
    return {"users": done.new, "speed": done.new / done.seconds}


MEASUREMENTS: dict[str, Callable[[Settings, str, str], dict[str, float]]] = {
    "bare": bare,
    "sklearn": sklearn,
    "copy": copy,
    "reading": reading,
    "postgres": to_postgres,
    "parquet": to_parquet,
}


def main(name: str, version: str, folder: str) -> None:
    # Imports are not measured.
    import feast.infra.offline_stores.contrib.postgres_offline_store.postgres  # noqa: F401
    import mlflow.sklearn  # noqa: F401

    settings = Settings()
    export(settings)
    print(json.dumps(MEASUREMENTS[name](settings, version, folder) | {"peak_mib": _peak_mib()}))


def _peak_mib() -> int:
    """Of this program: getrusage includes that of the parent, which has trained the models."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
