"""Outcomes of files and queries: the same verdicts as POST /outcomes, and nothing of a malformed file."""

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as arrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from asof.errors import DataError, ExtractError, SourceError
from asof.extracts.schema import Kind
from asof.extracts.sources import PostgresQuery
from asof.settings import Settings
from asof.use_cases import load
from flows.__main__ import app
from monitoring.outcomes.load import load_outcomes, moments_of
from monitoring.outcomes.matured import join_outcomes
from monitoring.outcomes.maturity import Maturity
from monitoring.outcomes.tables import items, read_file, read_query
from tests.kits.ledger.answers import MadeAnswer, add_answers, only
from tests.kits.models.keyed import Keyed

CHURN, DIABETES = load("churn"), load("diabetes")
AS_OF, AT = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
HEADER = "user_id,as_of,outcome,observed_at,acted,key"
GOOD = "u1,2024-01-31,True,2024-02-29T12:00:00+01:00,false,a"


@pytest.fixture(autouse=True)
def _answered(own_ledger: Settings) -> None:
    only(own_ledger, *(MadeAnswer(AT, f"u{number}", AS_OF) for number in range(3)))


def kept(settings: Settings) -> list[Any]:
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        query = "SELECT entity, target_as_of, outcome, observed_at, acted, client_key FROM ledger.outcomes ORDER BY id"
        return connection.execute(query).fetchall()


def written(folder: Path, *lines: str, name: str = "outcomes.csv") -> Path:
    path = folder / name
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def loaded(settings: Settings, path: Path) -> list[Any]:
    done = load_outcomes(settings, CHURN, items(read_file(path, CHURN), CHURN))
    return [done.rows, {str(each): number for each, number in done.verdicts.items() if number}, done.refused]


@pytest.mark.parametrize("name", ["outcomes.csv", "outcomes.csv.gz"])
def test_rows_of_a_csv_file_have_the_verdicts_of_items(own_ledger: Settings, tmp_path: Path, name: str) -> None:
    bad = [
        "nobody,2024-01-31,true,2024-02-29,,b",
        "u2,2024-01-31,maybe,2024-02-29,,c",
        "u2,2024-01-31,true,29.02.2024,,d",
        ",2024-01-31,true,2024-02-29,,e",
    ]
    rows, verdicts, refused = loaded(own_ledger, written(tmp_path, HEADER, GOOD, *bad, GOOD, name=name))
    assert (rows, verdicts) == (6, {"accepted": 1, "unchanged": 1, "unknown": 1, "rejected": 3})
    assert [(each.row, each.verdict) for each in refused] == [
        *[(2, "unknown")],
        *[(number, "rejected") for number in (3, 4, 5)],
    ]
    assert [each.reason.partition(":")[0] for each in refused[1:]] == [
        "outcome",
        "observed_at",
        "give either entity and as_of, or a request_id",
    ]
    assert kept(own_ledger) == [("u1", AS_OF, True, datetime(2024, 2, 29, 11, tzinfo=UTC), False, "a")]


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ([HEADER], "there are no rows"),
        ([HEADER, GOOD, "u2,2024-01-31"], "must have 6 fields"),
        ([HEADER + ",x", GOOD + ",1"], "column 'x' is unknown"),
        (["user_id,outcome,observed_at", "u1,true,2024-02-29"], "column 'as_of' is missing"),
        (["as_of,outcome,observed_at", "2024-01-31,true,2024-02-29"], "column 'user_id' is missing"),
        ([HEADER.replace(",", ";"), GOOD.replace(",", ";")], "separated by semicolons"),
        ([HEADER, GOOD, 'u2,2024-01-31,"true'], "outcomes.csv"),
        ([], "the file is empty"),
    ],
)
def test_of_a_malformed_file_nothing_is_loaded(
    own_ledger: Settings, tmp_path: Path, lines: list[str], finding: str
) -> None:
    with pytest.raises(ExtractError, match=finding):
        loaded(own_ledger, written(tmp_path, *lines))
    assert not kept(own_ledger)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none"])
def test_a_file_that_is_not_there_is_named(own_ledger: Settings, tmp_path: Path, name: str) -> None:
    with pytest.raises(ExtractError, match=f"{name}: cannot be read"):
        loaded(own_ledger, tmp_path / name)


def test_typed_cells_of_a_parquet_file_are_read_as_they_are(own_ledger: Settings, tmp_path: Path) -> None:
    naive, day = datetime(2024, 2, 29, 1, 2, 3, 4), date(2024, 1, 31)  # noqa: DTZ001
    columns = {
        "user_id": ["u0", "u1", "u2"],
        "as_of": [day] * 3,
        "outcome": [True, False, None],
        "observed_at": arrow.array([naive] * 3, arrow.timestamp("ns")),
        "control": [True, None, None],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "outcomes.parquet")
    rows, verdicts, _ = loaded(own_ledger, tmp_path / "outcomes.parquet")
    assert (rows, verdicts) == (3, {"accepted": 2, "rejected": 1})
    assert [row[:4] for row in kept(own_ledger)] == [
        ("u0", AS_OF, True, naive.replace(tzinfo=UTC)),
        ("u1", AS_OF, False, naive.replace(tzinfo=UTC)),
    ]


def test_keys_have_columns_of_their_own(tmp_path: Path) -> None:
    pair = Keyed("pairs", {"shop": Kind.INTEGER, "who": Kind.TEXT}, {"seen": ("who",)})
    file = written(tmp_path, "who,shop,as_of,outcome,observed_at", "a,7,2024-01-31,true,2024-02-29", "a,07,,true,x")
    (batch,) = items(read_file(file, pair.use_case), pair.use_case)
    assert batch[0]["entity"] == {"shop": 7, "who": "a"}
    assert batch[1]["entity"] == {"shop": "07", "who": "a"}


def test_outcomes_of_answers_are_named_by_their_request(own_ledger: Settings, tmp_path: Path) -> None:
    with psycopg.connect(own_ledger.ledger_conninfo()) as connection:
        (request,) = add_answers(connection, MadeAnswer(AT, None, None, use_case="diabetes", item=3))
    lines = "request_id,item,outcome,observed_at", f"{request},3,120.5,2024-02-29", f"{request},,1,2024-02-29"
    done = load_outcomes(own_ledger, DIABETES, items(read_file(written(tmp_path, *lines), DIABETES), DIABETES))
    assert done.verdicts["accepted"] == 1
    assert [each.reason for each in done.refused] == ["the request is a batch: give the item"]


def test_the_rows_of_a_query_are_loaded(own_ledger: Settings) -> None:
    query = PostgresQuery("""
        SELECT * FROM (VALUES ('u0', date '2024-01-31', true, timestamptz '2024-02-29 00:00+00', NULL::boolean),
            ('u1', '2024-01-31', false, '2024-02-29 00:00+00', true)
        ) AS seen (user_id, as_of, outcome, observed_at, acted)""")
    done = load_outcomes(own_ledger, CHURN, items(read_query(own_ledger, query, CHURN), CHURN))
    assert done.verdicts["accepted"] == 2, done.refused
    assert [row[2] for row in kept(own_ledger)] == [True, False]


def test_numbers_of_a_query_are_numbers(own_ledger: Settings) -> None:
    rows = read_query(
        own_ledger, PostgresQuery("SELECT 'x' AS request_id, 1.5 AS outcome, now() AS observed_at"), DIABETES
    )
    (batch,) = items(rows, DIABETES)
    assert batch[0]["outcome"] == float(Decimal("1.5"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 1 AS x", "its columns are not those of outcomes: as_of, observed_at, outcome, user_id, x"),
        ("SELECT * FROM nothing_here", 'relation "nothing_here" does not exist'),
        ("SELECT * FROM t WHERE day <= :as_of", "takes no :as_of"),
    ],
)
def test_a_query_that_gives_no_outcomes_is_refused(own_ledger: Settings, query: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_query(own_ledger, PostgresQuery(query), CHURN)


def test_moments_are_complete_only_if_their_horizon_is_over_and_each_row_is_good() -> None:
    now = datetime(2024, 2, 20, tzinfo=UTC)
    item = {"entity": "u1", "as_of": "2024-01-31", "outcome": True, "observed_at": "2024-02-10"}
    with pytest.raises(DataError, match="complete from 2024-02-29 on"):
        moments_of(CHURN, [[item]], now)
    with pytest.raises(DataError, match="Row 2 keeps"):
        moments_of(CHURN, [[item], [{**item, "outcome": 7}]], now)
    assert moments_of(CHURN, [[item, item]], datetime(2024, 3, 1, tzinfo=UTC)) == [AS_OF]


def test_the_command_loads_and_makes_predictions_mature(
    own_ledger: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own_ledger.environment().items():
        monkeypatch.setenv(name, value)
    file = written(tmp_path, HEADER, GOOD)
    done = CliRunner().invoke(app, ["outcomes", "load", "churn", str(file), "--complete", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["rows"], result["verdicts"]["accepted"]) == (1, 1)
    assert join_outcomes(own_ledger, CHURN, AS_OF, AS_OF).tally[Maturity.MATURE] == 1
    assert join_outcomes(own_ledger, CHURN, AS_OF, AS_OF).tally[Maturity.UNLABELLED] == 2
    refused = written(tmp_path, HEADER, GOOD.replace("True", "perhaps"))
    done = CliRunner().invoke(app, ["outcomes", "load", "churn", str(refused)])
    assert done.exit_code == 1
    assert "Loaded 0 outcomes of 1 row." in done.stdout
    both = CliRunner().invoke(app, ["outcomes", "load", "churn", str(file), "--query", "SELECT 1"])
    assert both.exit_code == 1
    assert "either a file" in " ".join(both.output.split())
