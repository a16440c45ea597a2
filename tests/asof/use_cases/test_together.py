"""Use cases beside each other in one checkout: a copied folder, and names that cannot be a table's."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest
from feast.infra.registry.sql import metadata

import asof.use_cases
from asof.errors import ConfigurationError, DataError, ExtractError
from asof.extracts.schema import REGISTRY_TABLES, RESERVED_TABLES, Column, ExtractSchema, Kind, RawTable
from asof.settings import Settings
from asof.use_cases import load, refuse_shared
from flows.stages.ingest import ingest
from flows.stages.inspect import inspect_folder
from roles.access import OWN_TABLES
from roles.tables import make_tables, wanted_tables
from training.data.snapshots.tables import prepare_tables

KEY = Column("user_id", Kind.TEXT)


class Checkout:
    """A copy of the folder of use cases, to which others are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copy(self, name: str, *edits: tuple[str, str]) -> None:
        """Churn's folder once more, as docs/models/adding-a-use-case.md copies one."""
        shutil.copytree(Path(asof.use_cases.__file__).parent / "churn", self.folder / name)
        for path in (self.folder / name).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            for old, new in (("use_cases.churn", f"use_cases.{name}"), *edits):
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    before = dict(sys.modules)
    monkeypatch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(tmp_path)])
    yield Checkout(tmp_path)
    for name in sys.modules.keys() - before.keys():
        if name.startswith("asof.use_cases."):
            del sys.modules[name]


RENAMED = ('name="churn"', 'name="retention"')
MODEL = ("streamflow_churn", "retention")
TABLES = (
    ('RawTable(\n    "', 'RawTable(\n    "retention_'),
    ('RawTable("', 'RawTable("retention_'),
    ('entity_table="users"', 'entity_table="retention_users"'),
)


def test_two_use_cases_with_one_raw_table_are_refused_both_named(checkout: Checkout) -> None:
    checkout.copy("retention", RENAMED, MODEL)
    with pytest.raises(
        ConfigurationError, match="'retention' and 'churn' both have the raw table labels, payments_agg"
    ):
        load("retention")
    with pytest.raises(
        ConfigurationError, match="'churn' and 'retention' both have the raw table labels, payments_agg"
    ):
        load("churn")


def test_one_table_in_common_is_enough(checkout: Checkout) -> None:
    checkout.copy("retention", RENAMED, MODEL, *TABLES, ('"retention_labels"', '"labels"'))
    with pytest.raises(ConfigurationError, match="both have the raw table labels: rename"):
        load("retention")


def test_a_copy_with_names_of_its_own_is_loaded_and_so_is_the_one_that_it_was_copied_from(checkout: Checkout) -> None:
    checkout.copy("retention", RENAMED, MODEL, *TABLES)
    assert load("retention").extract.use_case == "retention"
    assert {table.name for table in load("retention").extract.tables} >= {"retention_users"}
    assert load("churn").extract.use_case == "churn"


def test_a_copy_whose_name_was_not_changed_is_refused(checkout: Checkout) -> None:
    checkout.copy("retention", MODEL, *TABLES)
    with pytest.raises(ConfigurationError, match="asof/use_cases/retention is named 'churn': set name='retention'"):
        load("retention")


def test_two_use_cases_with_one_registered_model_are_refused(checkout: Checkout) -> None:
    checkout.copy("retention", RENAMED, *TABLES)
    with pytest.raises(ConfigurationError, match="both have the registered model 'streamflow_churn'"):
        load("retention")


def test_a_use_case_that_does_not_import_stops_no_other(checkout: Checkout) -> None:
    checkout.copy("retention", ("USE_CASE = ", "USE_CASE = 1 / 0\n"))
    assert load("churn").name == "churn"
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        load("retention")


def test_the_tables_of_a_use_case_that_does_not_import_keep_their_rights(
    checkout: Checkout, settings: Settings
) -> None:
    checkout.copy("retention", RENAMED, MODEL, *TABLES)
    prepare_tables(settings, load("retention").extract)
    for name in [each for each in sys.modules if each.startswith("asof.use_cases.retention")]:
        del sys.modules[name]
    (checkout.folder / "retention" / "raw_schema.py").write_text("EXTRACT = 1 / 0\n")
    with psycopg.connect(settings.conninfo()) as connection:
        snapshots = wanted_tables(connection).snapshots
    assert {"users", "retention_users", "retention_labels"} <= {*snapshots}
    make_tables(settings)


def test_use_cases_without_tables_have_none_in_common() -> None:
    refuse_shared(load("breast_cancer"), replace(load("breast_cancer"), name="other", model_name="other"))


@pytest.mark.parametrize(
    "name", ["Users", "LABELS", "", "my table", "1users", "us-ers", "na\xefve", "a" * 47, "users;", "users\n"]
)
def test_a_name_that_postgresql_would_change_or_cut_off_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="up to 46 lowercase letters"):
        RawTable(name, (KEY,))
    assert RawTable("a" * 46, (KEY,)).name == "a" * 46


@pytest.mark.parametrize("name", ["loads", "scores", "promotions", "feature_views"])
def test_a_name_of_another_table_of_ours_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}': AsOf or Feast has a table of that name"):
        RawTable(name, (KEY,))


def test_all_other_tables_of_the_schema_are_known() -> None:
    assert set(REGISTRY_TABLES) == set(metadata.tables)
    assert {*OWN_TABLES, *REGISTRY_TABLES} == RESERVED_TABLES


def test_a_table_stands_once_in_an_extract() -> None:
    table = RawTable("users", (KEY,))
    with pytest.raises(ConfigurationError, match="are named users"):
        ExtractSchema("user_id", "users", (table,), table, "churn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "extracts" / "month_000").mkdir(parents=True)
    return tmp_path / "extracts"


@pytest.mark.parametrize("files", [["retention_users"], ["retention_labels"]])
def test_the_files_of_another_use_case_are_recognised_by_its_name(
    checkout: Checkout, folder: Path, files: list[str]
) -> None:
    checkout.copy("retention", RENAMED, MODEL, *TABLES)
    for name in files:
        (folder / "month_000" / f"{name}.csv").touch()
    with pytest.raises(DataError, match=r"no file of use case 'churn' \(labels.csv, .*name use case retention"):
        inspect_folder("churn", folder, date(2024, 1, 31), None)
    with pytest.raises(DataError, match="name use case retention"):
        ingest(str(folder), date(2024, 1, 31), use_case="churn")


def test_files_of_no_use_case_are_named(folder: Path) -> None:
    (folder / "month_000" / "Users.csv").touch()
    with pytest.raises(DataError, match=r"no file of use case 'churn' .*, but Users\.csv: name another use case or"):
        inspect_folder("churn", folder, date(2024, 1, 31), None)


def test_one_file_of_its_own_is_enough_to_be_read(folder: Path) -> None:
    (folder / "month_000" / "users.csv").touch()
    with pytest.raises(ExtractError, match=r"users\.csv: the file is empty"):
        inspect_folder("churn", folder, date(2024, 1, 31), None)
