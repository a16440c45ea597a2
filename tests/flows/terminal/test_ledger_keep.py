"""`flows ledger keep` from the command line."""

import json
from pathlib import Path

import psycopg
import pytest

from asof.ledger.schema import create_tables
from asof.settings import Settings
from tests.kits.machine.terminal import call_flows

ADD = """
INSERT INTO ledger.predictions (at, request, model, status) VALUES ('2024-01-15', gen_random_uuid(), 1, 200)"""


@pytest.fixture
def conninfo(settings: Settings) -> str:
    """An answer of January 2024 in the ledger."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        create_tables(connection)
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
        connection.execute(ADD)
    return settings.ledger_conninfo()


def test_old_months_are_moved_into_a_folder_and_the_result_says_where(
    world: dict[str, str], conninfo: str, tmp_path: Path
) -> None:
    would = call_flows(world, "ledger", "keep", "--to", str(tmp_path), "--dry-run")
    assert would.stdout.startswith("Would move 1 month with 1 answer.")
    done = call_flows(world, "ledger", "keep", "--to", str(tmp_path), "--json")
    (month,) = json.loads(done.stdout.splitlines()[-1])["months"]
    assert (month["partition"], month["rows"]) == ("predictions_2024_01", 1)
    assert Path(month["file"]).parent == tmp_path
    again = call_flows(world, "ledger", "keep", "--to", str(tmp_path))
    assert again.stdout.startswith("Nothing to move: no month of answers ended before ")


def test_a_span_that_a_month_may_not_outlive_is_refused(world: dict[str, str]) -> None:
    assert call_flows(world, "ledger", "keep", "--days", "30").returncode == 2
