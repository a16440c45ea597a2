"""Delivered files that still have an erased user: one line for each folder of deliveries, and nothing is changed."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psycopg

from asof.settings import Settings
from asof.use_cases import load
from simulator import SimulationPlan, simulate
from training.data.snapshots.tables import prepare_tables
from training.erasure.copies.files import deliveries
from training.erasure.subject import subject_of
from training.erasure.work import Work

CHURN = load("churn")
LOAD = """
INSERT INTO public.loads (folder, as_of, known_at, code_version, files) VALUES (%s, '2024-01-31', now(), 'c', '{}')"""


def test_the_lines_of_many_files_are_counted_by_the_folder_of_their_deliveries(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = tmp_path / "first year", tmp_path / "second year"
    for folder in (first, second):
        simulate(SimulationPlan(datetime(2024, 3, 31, tzinfo=UTC).date(), users=30, months=2), folder)
    delivered = sorted(each for folder in (first, second) for each in folder.iterdir() if each.name != "truth")
    user = pd.read_csv(first / "month_001" / "users.csv")["user_id"][0]
    prepare_tables(settings, CHURN.extract)
    with psycopg.connect(settings.conninfo()) as connection:
        for folder in (*delivered, tmp_path / "gone"):
            connection.execute(LOAD, [str(folder)])
    before = {path: path.read_bytes() for folder in delivered for path in folder.iterdir()}

    found = list(deliveries.erase(Work(settings, CHURN, subject_of(CHURN, user), datetime.now(UTC), "d", apply=True)))

    with_user = {
        folder: [path for path, content in before.items() if folder in path.parents and user.encode() in content]
        for folder in (first, second)
    }
    assert [each.place for each in found] == [str(folder) for folder, files in with_user.items() if files]
    for each, files in zip(found, filter(None, with_user.values()), strict=True):
        assert each.count == sum(before[path].count(user.encode()) for path in files)
        assert f"{len(files)} delivered files, such as labels_000/labels.csv: " in each.left
    assert {path: path.read_bytes() for path in before} == before
