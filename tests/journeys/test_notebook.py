"""docs/start/from-ledger-to-chart.ipynb: its code on a planted ledger of the churn model, and its kept outputs.

test_your_tables.py runs it on the ledger that docs/start/second-hour.md leaves.
"""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from asof.settings import PROJECT, Settings
from tests.kits.ledger.answers import MadeAnswer, add_answers
from tests.kits.machine.pages import cells_of, code_of

NOTEBOOK = PROJECT / "docs" / "start" / "from-ledger-to-chart.ipynb"
AS_OF = datetime(2024, 3, 31, tzinfo=UTC)
INSERT_OUTCOME = """
INSERT INTO ledger.outcomes (use_case, event, entity, target_as_of, outcome, observed_at, created_at, source)
VALUES ('churn', %s, %s, %s, %s, %s, %s, 'api')"""
COMPLETE = "INSERT INTO ledger.complete_outcomes (use_case, target_as_of, actor) VALUES ('churn', %s, 'test')"
SHOW = """
print([each.get_label() for each in axes.get_lines()])
print(found.to_json(orient="split"))
"""


@pytest.fixture(scope="module")
def planted(own_ledger: Settings) -> Settings:
    """Of 200 users: version 1 says the contrary of what came true, version 2 just that."""
    draw, known = random.Random(5), AS_OF + timedelta(days=40)
    users = [(f"u{number}", draw.random() < 0.5) for number in range(200)]
    answers = [
        MadeAnswer(AS_OF, user, AS_OF, version=version, score=score, values={"monthly_fee": 9.5})
        for user, left in users
        for version, score in (("1", 0.1 if left else 0.9), ("2", 0.9 if left else 0.1))
    ]
    with psycopg.connect(own_ledger.ledger_conninfo()) as connection, connection.cursor() as cursor:
        add_answers(connection, *answers)
        outcomes = [(uuid4(), user, AS_OF, json.dumps(left), known, known) for user, left in users]
        cursor.executemany(INSERT_OUTCOME, outcomes)
        cursor.execute(COMPLETE, [AS_OF])
    return own_ledger


def test_its_code_draws_what_the_ledger_has(planted: Settings) -> None:
    program = code_of(NOTEBOOK).replace('load("contracts")', 'load("churn")') + SHOW
    environment = {**os.environ, **planted.environment(), "MPLBACKEND": "Agg"}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    worst, labels, found = done.stdout.splitlines()
    assert worst.partition(":")[0].startswith("u")
    assert json.loads(labels.replace("'", '"'))[1:] == ["version 1, 200 answers", "version 2, 200 answers"]
    columns = [[round(each, 2) for each in row[:2]] for row in json.loads(found)["data"]]
    assert columns == [[0.1, 1.0], [0.9, 0.0], [0.1, 0.0], [0.9, 1.0]]


def test_its_outputs_are_kept_and_each_cell_ran_in_order() -> None:
    cells = cells_of(NOTEBOOK)
    assert [each["execution_count"] for each in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for each in cells for output in each["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
