"""Three data sets of other shapes than ours, each from its tables to right answers by two commands and no typed line.

They are generated look-alikes: a wide export with few positives (UCI's Polish companies), events (the log of an online
shop), and a composite key (loans of a bank by customer and account).
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest

from asof.settings import Settings
from tests.kits.machine.project_copy import copy_project, run

pytestmark = pytest.mark.soak

EVENTS = """
CREATE SCHEMA shop;
CREATE TABLE shop.events AS
SELECT guest, timestamptz 'now' - days * interval '1 day' AS at, (guest * 13 + days * 7) % 90 + 5.5 AS amount
FROM generate_series(1, 2500) guest, generate_series(0, 180) days
WHERE abs(hashtext(guest || '-' || days)) % (20 + 40 * (guest % 3)) = 0;
"""
FEATURES = """SELECT guest, count(*) FILTER (WHERE at <= :as_of) AS orders_150d,
    max(amount) FILTER (WHERE at <= :as_of) AS largest, bool_or(at > :as_of) AS returns
    FROM shop.events WHERE at > :as_of - interval '150 days' AND at <= :as_of + interval '30 days'
    GROUP BY guest HAVING count(*) FILTER (WHERE at <= :as_of) > 0"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


def demonstrate(copy: Path, world: dict[str, str], name: str, options: str) -> None:
    """Runs `flows new`, then the command that it names."""
    written = run(copy, f"{sys.executable} -m flows new {name} {options}", world)
    command = written.rpartition("Next: make demo ")[2].strip()
    words = dict(word.split("=", 1) for word in command.split())
    data = f"--data {words['DATA']}" if "DATA" in words else ""
    as_of = f"--as-of {words['AS_OF'].replace('YYYY-MM-DD', '2024-01-31')}" if "AS_OF" in words else ""
    output = run(copy, f"{sys.executable} -m flows demo {words['USE_CASE']} {data} {as_of}", world)
    assert output.count("as the contract says") == 3
    assert "promoted to Production" in output


def test_a_wide_export_with_an_integer_key_and_few_positives(copy: Path, tmp_path: Path, world: dict[str, str]) -> None:
    random, count = np.random.default_rng(4), 3000
    ratios = {f"Attr{number}": random.normal(0, 1, count).round(4) for number in range(1, 65)}
    odds = ratios["Attr3"] * 1.6 - ratios["Attr21"] - 4
    rows = pd.DataFrame(
        {"Company": 100_000 + np.arange(count), **ratios, "class": random.random(count) < 1 / (1 + np.exp(-odds))}
    )
    rows["Attr37"] = rows["Attr37"].mask(random.random(count) < 0.4)
    rows.astype({"class": int}).to_csv(tmp_path / "year1.csv", index=False, na_rep="?")
    demonstrate(copy, world, "bankrupt", f"--from {tmp_path} --entity Company --label class")


def test_tables_of_events(copy: Path, settings: Settings, world: dict[str, str]) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(EVENTS)
    demonstrate(copy, world, "shop", f'--from "{FEATURES}" --entity guest --label returns --horizon 30')


def test_a_composite_key_in_parquet(copy: Path, tmp_path: Path, world: dict[str, str]) -> None:
    random = np.random.default_rng(5)
    keys = pd.MultiIndex.from_product([[f"C-{n:04}" for n in range(1000)], [1, 2, 3]], names=["customer", "account"])
    rows = pd.DataFrame({"limit": random.gamma(2, 800, 3000), "late": random.poisson(1, 3000)}, keys).reset_index()
    rows["defaulted"] = random.random(3000) < 1 / (1 + np.exp(3 - rows["late"]))
    rows.to_parquet(tmp_path / "loans.parquet")
    demonstrate(
        copy, world, "loans", f"--from {tmp_path / 'loans.parquet'} --entity customer,account --label defaulted"
    )


def test_what_was_written_is_typed_as_strictly_as_the_project(copy: Path, world: dict[str, str]) -> None:
    written = {folder.name for folder in (copy / "asof" / "use_cases").iterdir()}
    assert written >= {"bankrupt", "shop", "loans"}, "the tests above have written these"
    run(copy, f"{sys.executable} -m mypy", world)
