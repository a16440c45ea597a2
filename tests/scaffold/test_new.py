"""`flows new` on data of many forms: what it sees, what it writes, and that the project takes it as it is."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

import asof.use_cases
from asof.errors import ConfigurationError, DataError
from asof.extracts.schema import Kind, RawTable
from asof.extracts.sources import ALL_OTHERS, CsvFile, PostgresQuery
from asof.settings import PROJECT, Settings
from asof.targets import ClassScore, Multiclass, Regression
from asof.use_case import UseCase
from scaffold.draft import Draft, Wish, column_name, left_out, make_draft
from scaffold.read import read_tables
from scaffold.write import write_use_case
from training.features.materialisation.definition_files import read_definitions

NOW = datetime(2026, 11, 30, tzinfo=UTC)
COUNT = 60
UUIDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(COUNT)]
CHURNED = ["yes" if number % 5 == 0 else "no" for number in range(COUNT)]


PAIRS = """
CREATE TABLE pairs AS
SELECT n AS "user", d AS device, m AS month, n::real AS "Mean Visits",
       CASE WHEN n % 4 = 0 THEN 'won''t' ELSE 'will' END AS label
FROM generate_series(1, 40) n, (VALUES ('tv'), ('phone')) devices(d),
     (VALUES (date '2024-01-31'), ('2024-02-29')) months(m)
"""


def columns(**others: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"amount": [number * 1.5 for number in range(COUNT)], **others})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project with our settings of ruff, whose use cases can be loaded."""
    project = tmp_path_factory.mktemp("project")
    (project / "asof" / "use_cases").mkdir(parents=True)
    (project / "feature_repo").mkdir()
    (project / "pyproject.toml").write_text((PROJECT / "pyproject.toml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(project / "asof" / "use_cases")])
        yield project


New = Callable[..., UseCase]


@pytest.fixture
def new(project: Path, settings: Settings) -> New:
    """Writes the use case and loads it."""

    def new(origin: object, name: str, *keys: str, label: str = "churned", **wish: Any) -> UseCase:
        tables = read_tables(
            str(origin), settings.conninfo, wish.get("moment_column"), NOW - timedelta(wish.get("horizon", 0))
        )
        write_use_case(make_draft(Wish(name, keys, label, **wish), tables, NOW), project)
        return asof.use_cases.load(name)

    return new


def kinds(table: RawTable) -> Mapping[str, Kind]:
    return {column.name: column.kind for column in table.columns}


def test_a_file_of_excel_in_german_is_declared_as_it_is(new: New, tmp_path: Path) -> None:
    rows = columns(**{"Kunden-Nr.": range(COUNT), "Straße": ["A", "B", ""] * 20, "churned": CHURNED})
    rows["amount"] = [f"{1000 + each:,.2f}".translate(str.maketrans(",.", ".,")) for each in rows["amount"]]
    rows.to_csv(tmp_path / "Kunden 2024.csv", sep=";", index=False, encoding="cp1252")
    extract = new(tmp_path / "Kunden 2024.csv", "kunden", "Kunden-Nr.").extract
    (table,) = extract.tables
    assert kinds(table) == {"kunden_nr": Kind.INTEGER, "amount": Kind.NUMBER, "strasse": Kind.TEXT}
    source = table.source
    assert isinstance(source, CsvFile)
    assert (source.separator, source.decimal, source.thousands, source.encoding) == (";", ",", ".", "cp1252")
    assert (source.file, source.ignored, extract.labels.stem) == ("Kunden 2024", ALL_OTHERS, "Kunden 2024")


def test_a_folder_of_an_export_of_r_has_a_table_for_each_file(new: New, tmp_path: Path) -> None:
    columns(id=[f"u{n}" for n in range(COUNT)], score=["NA", 1, 2] * 20).to_csv(tmp_path / "use.csv", index=False)
    pd.DataFrame({"id": [f"u{n}" for n in range(COUNT)], "churned": ["TRUE", "FALSE"] * 30}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    extract = new(tmp_path, "exported", "id").extract
    assert [table.name for table in extract.tables] == ["exported_use"]
    assert extract.labels.name == "exported_labels"
    (score,) = (column for column in extract.tables[0].columns if column.name == "score")
    assert (score.kind, score.nullable, score.minimum) == (Kind.INTEGER, True, 0)
    assert "NA" in extract.tables[0].source.nulls  # type: ignore[union-attr]


def test_a_parquet_file_with_uuids(new: New, tmp_path: Path) -> None:
    columns(device=UUIDS, churned=[each == "yes" for each in CHURNED]).to_parquet(tmp_path / "devices.parquet")
    use_case = new(tmp_path / "devices.parquet", "devices", "device")
    assert use_case.extract.key_columns[0].kind is Kind.UUID
    assert use_case.request(device=UUIDS[1].upper()).model_dump() == {"device": UUIDS[1]}


@pytest.fixture(scope="module")
def tables(settings: Settings) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(PAIRS)


def test_a_table_of_two_keys_and_several_moments(new: New, settings: Settings, tables: None) -> None:
    use_case = new("pairs", "pairs", "user", "device", label="label", moment_column="month", positive="won't")
    extract = use_case.extract
    assert extract.keys == ("device", "user")
    source = extract.labels.source
    assert isinstance(source, PostgresQuery)
    assert source.parameters == {"as_of"}
    with psycopg.connect(settings.conninfo()) as connection:
        query = source.text({"as_of": "'2024-02-29'"})
        assert connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE label) FROM ({query}) AS rows"
        ).fetchone() == (
            80,
            20,
        )
    assert json.loads(use_case.questions(None)[0].body).keys() == {"user", "device"}


def test_a_query(new: New, tables: None) -> None:
    columns = """"user" AS id, "Mean Visits" + 1 AS visits, label = 'will' AS stays"""
    query = f"SELECT {columns} FROM pairs WHERE device = 'tv' AND month = '2024-01-31';"
    extract = new(query, "queried", "id", label="stays").extract
    assert kinds(extract.tables[0]) == {"id": Kind.INTEGER, "visits": Kind.NUMBER}
    assert not extract.takes_files


def test_a_query_of_events_as_of_a_moment(new: New, settings: Settings) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(
            "CREATE TABLE visits AS SELECT n % 50 AS guest, timestamptz '2026-11-30' - n * interval '6 hours' AS at "
            "FROM generate_series(1, 900) n WHERE n % 7 <> n % 3"
        )
    query = """SELECT guest, count(*) FILTER (WHERE at > :as_of - interval '90 days') AS visits_90d,
        bool_or(at > :as_of) AS comes FROM visits WHERE at <= :as_of + interval '5 days' GROUP BY guest"""
    use_case = new(query, "guests", "guest", label="comes", horizon=5)
    assert use_case.extract.cadence.labels_known(NOW) == NOW + timedelta(days=5)
    source = use_case.extract.tables[0].source
    assert isinstance(source, PostgresQuery)
    assert source.parameters == {"as_of"}


def test_a_label_of_several_classes_and_one_that_is_a_number(new: New, tmp_path: Path) -> None:
    for name in ("grades", "hours"):
        (tmp_path / name).mkdir()
    columns(id=range(COUNT), grade=["low", "mid", "high"] * 20).to_csv(tmp_path / "grades" / "g.csv", index=False)
    grades = new(tmp_path / "grades", "grades", "id", label="grade")
    assert grades.target == Multiclass(("high", "low", "mid"))
    answer = grades.respond(grades.request(id=1), ClassScore({"high": 0.2, "low": 0.7, "mid": 0.1}))
    assert answer.model_dump() == {"id": 1, "class": "low", "probabilities": {"high": 0.2, "low": 0.7, "mid": 0.1}}
    columns(id=range(COUNT), size=[1, 2] * 30).to_csv(tmp_path / "hours" / "h.csv", index=False)
    hours = new(tmp_path / "hours", "hours", "id", label="amount")
    assert hours.target == Regression("amount")
    assert kinds(hours.extract.labels) == {"id": Kind.INTEGER, "amount": Kind.NUMBER}


def test_all_that_was_written_passes_the_projects_checks_and_feast_reads_it(project: Path) -> None:
    names = {folder.name for folder in (project / "asof" / "use_cases").iterdir()}
    assert names >= {"kunden", "exported", "devices", "pairs", "queried", "guests"}, (
        "the tests above have written these"
    )
    for words in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, "--no-cache", "."], cwd=project, check=True)
    with read_definitions(project / "feature_repo") as defined:
        assert not defined.broken
        assert {service.name for service in defined.contents.feature_services} == {f"{name}_v1" for name in names}


@pytest.mark.parametrize(
    ("label", "positive", "message"),
    [
        ("plan", None, r"Which value of 'plan' is the positive class, basic or gold\? Say it by --positive"),
        ("plan", "silver", "--positive 'silver' is no value of 'plan': it has basic and gold"),
        ("note", None, "'note' has 60 distinct values"),
        ("absent", None, "no table has a column 'absent': name it by --label. Columns: amount, id, plan, note, twice"),
    ],
)
def test_a_label_that_cannot_be_one_is_named(tmp_path: Path, label: str, positive: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_draft(Wish("case", ("id",), label, positive), read_tables(str(data(tmp_path)), no_server, None, NOW), NOW)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("absent", "No table has the key absent"),
        ("twice", "has 60 rows of 30 twice: a table has one row for each entity and moment"),
    ],
)
def test_a_key_that_cannot_be_one_is_named(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_draft(Wish("case", (key,), "plan", "gold"), read_tables(str(data(tmp_path)), no_server, None, NOW), NOW)


@pytest.mark.parametrize("name", ["Case", "1st", "a-b", "class", "x" * 31, ""])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a use case"):
        Wish(name, ("id",), "label")


def test_what_is_neither_a_file_nor_a_table_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no_such_table is neither a file nor a folder, and cannot be read"):
        read_tables("no_such_table", settings.conninfo, None, NOW)
    with pytest.raises(DataError, match=r"absent\.csv does not exist"):
        read_tables(str(tmp_path / "absent.csv"), settings.conninfo, None, NOW)
    with pytest.raises(DataError, match="is it the right folder"):
        read_tables(str(tmp_path), settings.conninfo, None, NOW)


def test_columns_that_are_no_features_are_listed_with_the_reason(tmp_path: Path) -> None:
    rows = columns(
        id=range(COUNT),
        churned=CHURNED,
        empty=[None] * COUNT,
        same=[1] * COUNT,
        note=UUIDS,
        day=["2024-01-31"] * 59 + ["2024-02-01"],
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    draft = make_draft(Wish("case", ("id",), "churned"), read_tables(str(tmp_path), no_server, None, NOW), NOW)
    assert [line.partition(".")[2] for line in left_out(draft)] == [
        "empty: no feature: it is empty",
        "same: no feature: it is constant",
        "note: no feature: a uuid",
        "day: no feature: a date",
    ]


def test_nothing_is_written_where_something_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "asof" / "use_cases" / "case").mkdir(parents=True)
    draft = make_draft(
        Wish("case", ("id",), "plan", "gold"), read_tables(str(data(tmp_path)), no_server, None, NOW), NOW
    )
    with pytest.raises(ConfigurationError, match="asof/use_cases/case exists, and is not overwritten"):
        write_use_case(draft, folder)
    assert not list((folder / "asof" / "use_cases" / "case").iterdir())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Charge  Amount (EUR)", "charge_amount_eur"),
        ("Größe", "grosse"),
        ("2024", "c_2024"),
        ("class", "c_class"),
        ("客户", "column"),
    ],
)
def test_any_header_becomes_a_name(header: str, name: str) -> None:
    assert column_name(header) == name


def data(folder: Path) -> Path:
    file = folder / "data.csv"
    columns(id=range(COUNT), plan=["gold", "basic"] * 30, note=UUIDS, twice=[n // 2 for n in range(COUNT)]).to_csv(
        file, index=False
    )
    return file


def no_server() -> str:
    raise AssertionError("no server is asked")


def draft(folder: Path, rows: pd.DataFrame, *keys: str, label: str = "churned") -> Draft:
    rows.to_csv(folder / "rows.csv", index=False)
    return make_draft(Wish("case", keys, label), read_tables(str(folder), no_server, None, NOW), NOW)


def test_codes_with_leading_zeros_are_text(tmp_path: Path) -> None:
    codes = [f"{number:05}" for number in range(COUNT)]
    (key,) = draft(tmp_path, columns(zip=codes, churned=CHURNED), "zip").keys
    assert key.profile.kind is Kind.TEXT


def test_a_key_that_is_no_whole_number_is_refused(tmp_path: Path) -> None:
    rows = columns(id=[number + 0.5 for number in range(COUNT)], churned=CHURNED)
    with pytest.raises(ConfigurationError, match="The key 'id' is of kind number, and a key is text"):
        draft(tmp_path, rows, "id")


def test_a_file_without_the_key_is_listed_as_left_out(tmp_path: Path) -> None:
    pd.DataFrame({"country": ["de"], "vat": [0.19]}).to_csv(tmp_path / "countries.csv", index=False)
    found = draft(tmp_path, columns(id=range(COUNT), churned=CHURNED), "id")
    assert list(left_out(found)) == ["countries: not loaded: it lacks a key"]


def test_a_key_or_label_gets_another_name_where_answers_have_such_a_member(tmp_path: Path) -> None:
    found = draft(tmp_path, columns(model=range(COUNT), threshold=CHURNED), "model", label="threshold")
    assert ([key.name for key in found.keys], found.label.name) == (["c_model"], "c_threshold")


def test_a_header_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,a,a\n1,2,3\n")
    with pytest.raises(DataError, match=r"rows\.csv: row 1, the header: column 'a' is there more than once"):
        read_tables(str(tmp_path), no_server, None, NOW)


def test_others_may_read_what_is_written(project: Path, tmp_path: Path) -> None:
    """An image is built from it, whose processes have another user."""
    files = write_use_case(draft(tmp_path, columns(id=range(COUNT), churned=CHURNED), "id"), project)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}
