"""For tests of parity: copies of a database that is in order, to be damaged; and the damage."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import SecretStr

from asof.settings import Settings
from asof.use_cases import load
from tests.kits.machine.databases import database
from training.data.snapshots.snapshot import take_snapshot
from training.features.parity.check import Parity
from training.features.parity.verdicts import Verdict

CHURN = load("churn")
FEATURES = 19
"""Of churn_v1 and churn_v2 together."""


@contextmanager
def database_copy(settings: Settings) -> Iterator[Settings]:
    """The same database once more, registry and online store included; gone afterwards."""
    name = f"asof_test_{uuid.uuid4().hex[:12]}"
    with database(settings, name, settings.database().database):
        url = settings.database(name).render_as_string(hide_password=False)
        yield settings.model_copy(update={"postgres_url": SecretStr(url)})


def overwrite(settings: Settings, view: str, feature: str, user: str, **value: Any) -> None:
    """Writes another value over one in the online store, in Feast's own form; without a value it is a null."""
    with psycopg.connect(settings.conninfo()) as connection:
        written = connection.execute(
            f"UPDATE online.asof_{view} SET value = %s WHERE feature_name = %s"
            " AND position(%s::bytea IN entity_key) > 0",
            (Value(**value).SerializeToString(), feature, user.encode()),
        )
    assert written.rowcount == 1


def online_value(settings: Settings, view: str, feature: str, user: str) -> Value:
    """What the online store holds."""
    with psycopg.connect(settings.conninfo()) as connection:
        (row,) = connection.execute(
            f"SELECT value FROM online.asof_{view} WHERE feature_name = %s AND position(%s::bytea IN entity_key) > 0",
            (feature, user.encode()),
        ).fetchall()
    return Value.FromString(bytes(row[0]))


Edit = Callable[[pd.DataFrame], pd.DataFrame]


def deliver(settings: Settings, source: Path, folder: Path, as_of: datetime, **edits: Edit) -> None:
    """Loads a month that is like `source` but for the tables edited, as known from now on."""
    folder.mkdir()
    for path in source.glob("*.csv"):
        rows = pd.read_csv(path, dtype=str)
        edit = edits.get(path.stem, lambda rows: rows)
        edit(rows).to_csv(folder / path.name, index=False)
    take_snapshot(settings, CHURN.extract, folder, as_of=as_of)


def without(user: str) -> Edit:
    """Leaves a user out of a table."""
    return lambda rows: rows[rows["user_id"] != user]


def with_value(user: str, column: str, value: str) -> Edit:
    """Gives a user another value; an empty one is a null."""
    return lambda rows: rows.assign(**{column: rows[column].where(rows["user_id"] != user, value)})


def found(parity: Parity) -> Mapping[Verdict, int]:
    """The differences alone."""
    return {verdict: count for verdict, count in parity.verdicts.items() if count and verdict is not Verdict.EQUAL}


def features_with(parity: Parity, verdict: Verdict) -> dict[str, int]:
    """How many users' values of each feature got the verdict."""
    return {each.feature: each.verdicts[verdict] for each in parity.features if each.verdicts[verdict]}
