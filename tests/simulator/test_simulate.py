"""The simulated extracts: format, changes from month to month, and the options of a plan."""

import csv
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from asof.errors import ConfigurationError
from asof.extracts.schema import Column, Kind, RawTable
from asof.use_cases.churn.raw_schema import EXTRACT, NO_INTERNET, PAYMENTS, SUBSCRIPTIONS, SUPPORT, USAGE, USERS
from simulator import Simulation, SimulationPlan, month_end_before, simulate
from simulator.observation import user_ids
from simulator.profile import MAX_USERS
from training.data.extracts.deliveries import find_deliveries
from training.data.extracts.extract import read_extract
from training.data.extracts.known_ids import KnownIds

PLAN = SimulationPlan(last_as_of=date(2024, 3, 31), users=3001, months=3, seed=7)
FAULTY = replace(PLAN, users=2000, late_share=0.05, correction_share=0.1)
AGGREGATES = (USAGE, PAYMENTS, SUPPORT)

PARSERS: dict[Kind, Callable[[str], object]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.BOOLEAN: {"True": True, "False": False}.__getitem__,
    Kind.DATE: date.fromisoformat,
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(PLAN, tmp_path_factory.mktemp("plain") / "extracts")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(FAULTY, tmp_path_factory.mktemp("faulty") / "extracts")


def read(folder: Path, table: RawTable) -> pd.DataFrame:
    """The typed table by user id; an empty field is None."""
    with (folder / f"{table.name}.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        assert next(lines) == [column.name for column in table.columns]
        rows = [[parse(column, text) for column, text in zip(table.columns, line, strict=True)] for line in lines]
    frame = pd.DataFrame(rows, columns=[column.name for column in table.columns], dtype=object)
    return frame.set_index("user_id", verify_integrity=True)


def parse(column: Column, text: str) -> object:
    if text == "":
        assert column.nullable, column.name
        return None
    value = PARSERS[column.kind](text)
    assert not column.allowed or value in column.allowed
    assert column.minimum is None or float(text) >= column.minimum
    assert column.maximum is None or float(text) <= column.maximum
    return value


def truth(simulation: Simulation, name: str) -> pd.DataFrame:
    return pd.read_csv(simulation.folder / "truth" / name)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.csv")}


def test_every_extract_has_the_columns_values_and_rules_of_the_raw_schema(plain: Simulation) -> None:
    for month, table in itertools.product(range(3), EXTRACT.tables):
        rows = read(plain.folder / f"month_{month:03}", table)
        assert len(rows) == 3001
        for rule in table.rules:
            assert rule.holds(rows).all(), rule.text


def test_the_files_are_plain_lines_of_ascii_with_nothing_quoted(faulty: Simulation) -> None:
    for name, data in content(faulty.folder).items():
        assert data.endswith(b"\n"), name
        assert not set(data) & set(b'\r"\x00'), name
        assert data.isascii(), name


def test_numbers_have_their_decimals(plain: Simulation) -> None:
    rows = pd.read_csv(plain.folder / "month_000" / "subscriptions.csv", dtype=str)
    assert rows["monthly_fee"].str.fullmatch(r"\d+\.\d\d").all()
    assert rows["total_paid"].str.fullmatch(r"\d+\.\d\d").all()


def test_user_ids_look_like_the_real_ones(plain: Simulation) -> None:
    assert read(plain.folder / "month_000", USERS).index.str.fullmatch(r"\d{4}-[A-Z]{5}").all()


def test_user_ids_are_unique_over_all_months() -> None:
    numbers = (np.arange(12)[:, None] * MAX_USERS + np.arange(20_000)).ravel()
    assert len(np.unique(user_ids(numbers))) == len(numbers)


def test_about_22_percent_have_no_internet(plain: Simulation) -> None:
    rows = read(plain.folder / "month_000", SUBSCRIPTIONS)
    assert 0.19 < rows["net_service"].eq(NO_INTERNET).mean() < 0.24


def test_the_same_plan_gives_the_same_bytes_and_another_seed_different_ones(plain: Simulation, tmp_path: Path) -> None:
    again = simulate(PLAN, tmp_path / "again")
    other = simulate(replace(PLAN, seed=8), tmp_path / "other")
    assert content(again.folder) == content(plain.folder)
    assert content(other.folder)["month_000/users.csv"] != content(plain.folder)["month_000/users.csv"]


@pytest.mark.parametrize(("users", "chunk_rows"), [(25, 1), (2000, 997)])
def test_the_chunk_size_does_not_change_the_output(
    faulty: Simulation, tmp_path: Path, users: int, chunk_rows: int
) -> None:
    chunked = simulate(replace(FAULTY, users=users), tmp_path / "chunked", chunk_rows=chunk_rows)
    whole = content(faulty.folder) if users == FAULTY.users else content(simulate(chunked.plan, tmp_path / "w").folder)
    assert content(chunked.folder) == whole


def test_more_months_and_users_do_not_change_the_others(plain: Simulation, tmp_path: Path) -> None:
    """So the demo can be run again a month later, and a benchmark can be a larger copy of a test."""
    larger = simulate(replace(PLAN, users=3500, months=4, last_as_of=date(2024, 4, 30)), tmp_path / "larger")
    longer = content(larger.folder)
    for name, data in content(plain.folder).items():
        assert longer[name].startswith(data), name


def test_labels_equal_the_truth_and_the_newest_month_has_none(plain: Simulation) -> None:
    for month in range(2):
        labels = pd.read_csv(plain.folder / f"labels_{month:03}" / "labels.csv")
        expected = truth(plain, f"month_{month:03}.csv")
        assert labels["user_id"].equals(expected["user_id"])
        assert labels["churn_label"].equals(expected["left"])
    assert not (plain.folder / "labels_002").exists()
    assert not list((plain.folder / "month_002").glob("*label*"))


def test_ingestion_finds_and_accepts_every_delivery(faulty: Simulation) -> None:
    names, ids = [], [read(path, USERS).index for path in sorted(faulty.folder.glob("month_???"))]
    known = KnownIds(pa.chunked_array([pa.array(ids[0].union(ids[1]), pa.string())]), "a user")
    for delivery in find_deliveries(faulty.folder, first=FAULTY.as_of(0), backfill=True):
        names.append(delivery.folder.name)
        assert read_extract(delivery.folder, EXTRACT, lambda: known)
    assert sorted(names) == sorted(FAULTY.deliveries())
    assert {path.name for path in faulty.folder.iterdir()} == {*names, "truth"}


def test_without_faults_nothing_is_delivered_twice(plain: Simulation) -> None:
    folders = {path.name for path in plain.folder.iterdir()}
    assert folders == {"month_000", "month_001", "month_002", "labels_000", "labels_001", "truth"}


def test_users_who_left_are_replaced_by_new_ones_next_month(plain: Simulation) -> None:
    for month in range(2):
        before = truth(plain, f"month_{month:03}.csv")
        after = read(plain.folder / f"month_{month + 1:03}", SUBSCRIPTIONS)
        stayed = before.loc[~before["left"], "user_id"]
        new = after.drop(index=stayed)
        assert set(stayed) <= set(after.index)
        assert not set(before["user_id"]) & set(new.index)
        assert new["months_active"].eq(1).all()


def test_users_who_stay_are_a_month_older_and_have_paid_one_more_fee(plain: Simulation) -> None:
    before, after = (read(plain.folder / f"month_{month:03}", SUBSCRIPTIONS) for month in range(2))
    stayed = after.index.intersection(before.index)
    before, after = before.loc[stayed], after.loc[stayed]
    assert len(stayed) > 2000
    assert (after["months_active"] - before["months_active"]).eq(1).all()
    assert np.allclose((after["total_paid"] - before["total_paid"]).astype(float), after["monthly_fee"].astype(float))
    kept = ["contract_type", "net_service", "monthly_fee", "paperless_billing", "plan_stream_tv", "plan_stream_movies"]
    assert before[kept].equals(after[kept])
    people = [read(plain.folder / f"month_{month:03}", USERS).loc[stayed] for month in range(2)]
    assert people[0].equals(people[1])


def test_the_signup_date_lies_in_the_first_of_the_months_active(plain: Simulation) -> None:
    for month in range(3):
        as_of = PLAN.as_of(month)
        folder = plain.folder / f"month_{month:03}"
        rows = read(folder, USERS).join(read(folder, SUBSCRIPTIONS))
        since = rows["signup_date"].map(lambda day, a=as_of: (a.year - day.year) * 12 + a.month - day.month + 1)
        assert since.equals(rows["months_active"].astype("int64").rename("signup_date"))


def test_usage_follows_the_user_from_month_to_month_and_no_column_is_constant(plain: Simulation) -> None:
    before, after = (read(plain.folder / f"month_{month:03}", USAGE).astype(float) for month in range(2))
    both = before.join(after, rsuffix="_next", how="inner")
    assert both["watch_hours_30d"].corr(both["watch_hours_30d_next"]) > 0.7
    assert (after.nunique() > 2).all()


def test_hours_fallen_in_the_truth_equal_those_of_the_extracts(plain: Simulation) -> None:
    before, after = (read(plain.folder / f"month_{month:03}", USAGE)["watch_hours_30d"] for month in range(2))
    fallen = (before.reindex(after.index) - after).astype(float).clip(lower=0).fillna(0)
    assert np.allclose(truth(plain, "month_001.csv")["hours_fallen"], fallen)


def test_late_rows_are_absent_at_first_and_present_a_month_later(faulty: Simulation) -> None:
    for month, table in itertools.product(range(2), AGGREGATES):
        first = read(faulty.folder / f"month_{month:03}", table)
        again = read(faulty.folder / f"month_{month:03}_r1", table)
        found = truth(faulty, f"injected_{month:03}.csv").query("kind == 'late' and table == @table.name")
        assert len(again) == 2000
        assert set(again.index) - set(first.index) == set(found["user_id"])
        assert 60 < len(found) < 140


def test_corrections_differ_exactly_as_in_the_truth(faulty: Simulation) -> None:
    for month, table in itertools.product(range(2), AGGREGATES):
        first = read(faulty.folder / f"month_{month:03}", table)
        again = read(faulty.folder / f"month_{month:03}_r1", table).loc[first.index]
        found = truth(faulty, f"injected_{month:03}.csv").query("kind == 'corrected' and table == @table.name")
        found = found.set_index("user_id")
        (column,) = set(found["column"])
        assert set(first.index[(first != again).any(axis="columns")]) == set(found.index)
        assert first.drop(columns=column).equals(again.drop(columns=column))
        assert first.loc[found.index, column].astype(float).equals(found["delivered"].astype(float).rename(column))
        assert again.loc[found.index, column].astype(float).equals(found["true"].astype(float).rename(column))
        assert 140 < len(found) < 260


def test_faults_touch_neither_the_users_nor_their_subscriptions_nor_the_truth(
    faulty: Simulation, tmp_path: Path
) -> None:
    clean = content(simulate(replace(FAULTY, late_share=0.0, correction_share=0.0), tmp_path / "clean").folder)
    struck = content(faulty.folder)
    for month in range(3):
        for name in ("users", "subscriptions"):
            assert struck[f"month_{month:03}/{name}.csv"] == clean[f"month_{month:03}/{name}.csv"]
        assert struck[f"truth/month_{month:03}.csv"] == clean[f"truth/month_{month:03}.csv"]
    assert struck["month_000_r1/usage_agg_30d.csv"] == clean["month_000/usage_agg_30d.csv"]


def test_a_folder_with_the_same_plan_is_not_changed(plain: Simulation) -> None:
    stamp = (plain.folder / "month_000" / "users.csv").stat().st_mtime_ns
    again = simulate(PLAN, plain.folder)
    assert plain.written
    assert again == replace(plain, written=False)
    assert (plain.folder / "month_000" / "users.csv").stat().st_mtime_ns == stamp


def test_a_folder_with_another_plan_is_an_error(plain: Simulation) -> None:
    before = content(plain.folder)
    with pytest.raises(ConfigurationError, match="another simulation"):
        simulate(replace(PLAN, drift=0.1), plain.folder)
    assert content(plain.folder) == before


def test_a_folder_with_a_missing_file_is_an_error(tmp_path: Path) -> None:
    simulation = simulate(replace(PLAN, users=5), tmp_path / "extracts")
    (simulation.folder / "labels_000" / "labels.csv").unlink()
    with pytest.raises(ConfigurationError, match="another simulation"):
        simulate(simulation.plan, simulation.folder)


@pytest.mark.parametrize("name", ["notes.txt", "truth/plan.json"])
def test_a_folder_with_other_files_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("[]")
    with pytest.raises(ConfigurationError, match="holds other files"):
        simulate(PLAN, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_an_empty_folder_is_filled_and_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert simulate(replace(PLAN, users=5), tmp_path / "empty").written
    with pytest.raises(ConfigurationError, match="is a file"):
        simulate(PLAN, tmp_path / "file")


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 500:
            assert any(tmp_path.rglob("*.csv"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(PLAN, tmp_path / "extracts", progress=interrupt, chunk_rows=500)
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_user_of_every_month(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(replace(PLAN, users=50), tmp_path / "s", progress=lambda *counts: seen.append(counts), chunk_rows=20)
    assert seen == [
        (20, 150),
        (40, 150),
        (60, 150),
        (80, 150),
        (100, 150),
        (120, 150),
        (130, 150),
        (140, 150),
        (150, 150),
    ]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("users", 0),
        ("months", 0),
        ("late_share", 1.1),
        ("late_share", -0.1),
        ("correction_share", float("nan")),
        ("drift", 2.0),
        ("drift_month", 3),
        ("drift_month", -1),
        ("drift_month", 1),
        ("drift_end_month", 3),
        ("drift_end_month", 1),
        ("concept_change_month", 3),
        ("concept_change_month", -1),
        ("last_as_of", date(2024, 2, 28)),
    ],
)
def test_a_wrong_parameter_is_named(parameter: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{parameter} is "):
        replace(PLAN, **{parameter: value})  # type: ignore[arg-type]


def test_the_month_end_before_today_is_before_today() -> None:
    assert month_end_before(date(2024, 3, 31)) == date(2024, 2, 29)
    assert month_end_before(date(2024, 1, 1)) == date(2023, 12, 31)


def test_the_plan_is_written_beside_the_truth(plain: Simulation) -> None:
    document = json.loads((plain.folder / "truth" / "plan.json").read_text())
    assert document["plan"]["seed"] == 7
    assert [month["as_of"] for month in document["months"]] == ["2024-01-31", "2024-02-29", "2024-03-31"]
    assert document["hazards"][0]["coefficients"]["two_year"] < 0
