"""`flows ledger find`: what is asked for, what is shown, and what a program reads."""

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answer, ReadValues
from asof.settings import Settings
from flows.terminal.screens.monitoring.ledger import replay_screen, what_if_screen
from flows.terminal.screens.screen import print_screen
from tests.kits.machine.terminal import Done, call_flows
from tests.kits.service.ledger import BY_VIEW, VALUES, encoder, keep


@pytest.fixture(scope="module")
def world(settings: Settings) -> Mapping[str, str]:
    model = encoder("3")
    for number in range(3):
        read = ReadValues(VALUES | {"fee": 70.1 + number}, BY_VIEW)
        keep(settings, model, f"request-{number}", Answer("José", prediction=0.1 + 0.2, decision=0), read)
    values, verdicts = VALUES | {"fee": math.inf, "plan": None}, {"fee": Verdict.INFINITE, "plan": Verdict.NOT_FOUND}
    keep(settings, model, "refused", Answer("u2", 422, "missing-features"), ReadValues(values, BY_VIEW, verdicts))
    return {**os.environ, **settings.environment(), "ASOF_LEDGER_SPOOL": str(settings.ledger_folder)}


def find(world: Mapping[str, str], *words: str) -> Done:
    return call_flows(world, "ledger", "find", "churn", *words)


def test_answers_are_listed_with_the_newest_first(world: Mapping[str, str]) -> None:
    run = find(world)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == "4 answers of churn."
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[4:8]] == ["refused", "request-2", "request-1", "request-0"]
    assert all(line.rstrip().endswith("José    0.3000 no") for line in lines[5:8])
    assert find(world, "--limit", "2").stdout.startswith("2 answers of churn (the newest; --limit shows more).")


def test_one_answer_is_shown_with_its_values(world: Mapping[str, str]) -> None:
    run = find(world, "--request", "request-1")
    assert run.returncode == 0, run.stderr
    assert repr(0.1 + 0.2) in run.stdout
    assert str(2**60 + 1) in run.stdout, "all digits, beyond those that a float has"
    assert "in the request" in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80


def test_a_program_reads_every_value_with_moment_and_verdict(world: Mapping[str, str]) -> None:
    run = find(world, "--code", "missing-features", "--json")
    (answer,) = json.loads(run.stdout.splitlines()[-1], parse_constant=pytest.fail)["answers"]
    values = {each["feature"]: each for each in answer["values"]}
    assert (values["fee"]["value"], values["fee"]["verdict"]) == ("inf", "INFINITE")
    assert (values["plan"]["value"], values["plan"]["verdict"]) == (None, "NOT_FOUND")
    assert (values["months"]["value"], values["senior"]["value"]) == (2**60 + 1, True)
    assert (values["discount"]["view"], values["discount"]["as_of"]) == (None, None)
    assert (answer["entity"], answer["prediction"], answer["status"]) == ("u2", None, 422)
    assert answer["model"]["version"] == "3"


def test_an_entity_and_a_time_choose(world: Mapping[str, str]) -> None:
    now = datetime.now(UTC)
    tomorrow = f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}"
    assert find(world, "--entity", "José").stdout.startswith("3 answers of churn.")
    assert find(world, "--since", "2024-01-31", "--until", tomorrow).stdout.startswith("4 answers of churn.")
    none = find(world, "--since", tomorrow)
    assert (none.returncode, none.stdout.splitlines()[0]) == (1, "The ledger has no such answer of churn.")
    refused = find(world, "--request", "request-1", "--entity", "u2")
    assert (refused.returncode, "leave the other options out" in refused.stderr) == (1, True)
    other = call_flows(world, "ledger", "find", "breast_cancer", "--entity", "u2")
    assert (other.returncode, "its answers have no entity" in " ".join(other.stderr.split())) == (1, True)


def answer(outcome: str, **changes: object) -> dict[str, object]:
    row = {"request_id": "01a22f4e-5a91-7233-9338-823185029a92:17", "version": "3", "outcome": outcome, "kept": 0.1}
    return row | {"now": None, "kept_answer": "no", "reason": f"because it {outcome}", "entity": "u1"} | changes


def test_what_differs_is_listed_and_fits_the_terminal() -> None:
    answers = [answer("same", reason="", now=0.1), answer("differs", now=0.1 + 2**-50), answer("gone")]
    done = {
        "model": "churn", "agrees": False, "counts": {"same": 1, "differs": 1, "gone": 1}, "answers": answers,
        "greatest_difference": 2**-50, "notes": ["A note."],
        "environment": [{"name": "version.numpy", "recorded": "2.4.5", "now": "2.4.6", "changed": True}],
    }  # fmt: skip
    console = Console(width=80, record=True)
    print_screen(console, replay_screen(done))
    text = console.export_text()
    assert " ".join(text.split()).startswith(
        "1 answer differs, 1 answer cannot be computed again, 1 answer comes out the same, to the last bit."
    )
    assert "because it differs" in text
    assert "2.4.5" in text
    assert text.count("01a22") == 2


def test_what_another_version_says_is_beside_it() -> None:
    rows = [
        {"request_id": f"r{n}", "entity": "u", "version": str(n), "kept": 0.5, "other": 0.5 + n / 10, "problem": "",
         "kept_answer": "no", "other_answer": "yes" if n else "no", "changed": n > 0}
        for n in range(3)
    ]  # fmt: skip
    done = {"model": "churn", "version": "9", "changed": 2, "failed": 0, "answers": rows}
    screen = what_if_screen(done | {"mean_difference": 0.1, "greatest_difference": 0.2})
    assert screen.headline == "2 of 3 answers would be of another class with version 9."
    ((_, table),) = screen.tables.items()
    assert [row["request"] for row in table] == ["r2", "r1"]
