"""What the demo says before it starts anything, where it cannot have data."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from asof.errors import ConfigurationError
from asof.settings import PROJECT
from asof.use_case import FromStore, UseCase
from asof.use_cases import load
from flows.__main__ import app
from flows.terminal import demo


class Reached(Exception):
    """The database would be opened now."""


def reached() -> None:
    raise Reached


@pytest.fixture
def telecom(monkeypatch: pytest.MonkeyPatch) -> UseCase:
    """A use case with tables of its own, which nothing simulates; the demo goes no further than the database."""
    churn = load("churn")
    assert isinstance(churn.source, FromStore)
    source = FromStore(replace(churn.source.extract, tables=churn.source.extract.tables[:2]))
    telecom = replace(churn, name="telecom", source=source)
    monkeypatch.setattr(demo, "load", lambda name: telecom if name == "telecom" else load(name))
    monkeypatch.setattr(demo, "settings_with_tracking", reached)
    return telecom


def test_a_use_case_that_nothing_simulates_needs_extracts_and_the_demo_names_them(telecom: UseCase) -> None:
    with pytest.raises(ConfigurationError, match="make demo USE_CASE=telecom DATA=folder AS_OF=") as refused:
        demo.demo(Console(), "telecom", None, users=100, months=2)
    assert isinstance(telecom.source, FromStore)
    for table in (*telecom.source.extract.tables, telecom.source.extract.labels):
        assert f"{table.name}.csv" in str(refused.value)


@pytest.mark.parametrize("name", ["churn", "breast_cancer"])
def test_what_is_simulated_and_what_comes_in_the_request_need_none(telecom: UseCase, name: str) -> None:
    with pytest.raises(Reached):
        demo.demo(Console(), name, None, users=100, months=2)


def test_extracts_of_ones_own_are_taken(telecom: UseCase, tmp_path: Path) -> None:
    extracts = demo.Extracts(tmp_path, None, backfill=False, clock=None)
    with pytest.raises(Reached):
        demo.demo(Console(), "telecom", extracts, users=100, months=2)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["demo"], {"ASOF_USE_CASE": "telecom"}),
        (["demo", "telecom"], {}),
        (["up"], {"ASOF_USE_CASE": "telecom"}),
        (["bundle", "--without-model"], {"ASOF_USE_CASE": "telecom"}),
        (["accept-definition", "users_fv", "--reason", "why"], {"ASOF_USE_CASE": "telecom"}),
    ],
)
def test_an_unknown_use_case_is_one_sentence_however_it_was_named(
    words: list[str], environment: dict[str, str]
) -> None:
    done = CliRunner().invoke(app, words, env=environment)
    assert done.exit_code == 1
    output = " ".join(done.output.split())
    assert "There is no use case 'telecom'; there are: breast_cancer, churn, diabetes, wine." in output
    assert "docs/models/adding-a-use-case.md" in output


def test_what_a_stage_imports_ahead_is_locked() -> None:
    """An environment of today may still have what the locks have no longer."""
    locked = (PROJECT / "requirements" / "flows.txt").read_text()
    names = {name.partition(".")[0] for name in (*demo.TRAINING_LIBRARIES, *demo.BUNDLING_LIBRARIES)} - {
        "asof",
        "training",
    }
    distributions = {name: {"sklearn": "scikit-learn"}.get(name, name) for name in names}
    assert [name for name, locks in distributions.items() if f"\n{locks}==" not in f"\n{locked}"] == []
