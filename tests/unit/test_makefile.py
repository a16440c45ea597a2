"""The doors that people see first: `make help`, `.env.example`, and locks that name no host."""

import os
import re
import subprocess

from asof.settings import PROJECT, Settings

STAGES = {
    *("simulate", "ingest", "inspect", "retrain", "promote", "score"),
    *("history", "trace", "rollback", "bundle", "deploy", "image"),
}


def _make(*words: str) -> str:
    # Under `make test` the environment carries that make's own flags and variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *words], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_make_help_lists_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    listed = set(re.findall(r"^  ([a-z-]+) +\S", _make("help"), re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert targets == listed == set(phony[1].split())
    assert targets >= STAGES


def test_make_alone_is_make_help() -> None:
    assert _make() == _make("help")


def test_each_stage_is_a_call_of_the_same_word_with_the_arguments_given() -> None:
    for stage in sorted(STAGES):
        assert f".venv/bin/python -m flows {stage} --some 'thing'\n" in _make("--dry-run", stage, "ARGS=--some 'thing'")


def test_the_demo_passes_its_variables_on_as_options() -> None:
    given = _make("--dry-run", "demo", "DATA=my folder", "AS_OF=2024-01-31", "USE_CASE=churn", "USERS=9", "MONTHS=2")
    line = " ".join(given.replace("\\\n", " ").split())
    assert "flows demo --use-case 'churn' --data 'my folder' --as-of '2024-01-31' --users '9' --months '2'" in line


def test_the_example_file_names_every_setting_with_its_default_and_its_meaning() -> None:
    example = (PROJECT / ".env.example").read_text()
    shown = re.findall(r"^# (.*)\n#([A-Z_]+)=(.*)$", example, re.MULTILINE)
    expected = [
        (
            field.description,
            field.validation_alias or f"ASOF_{name.upper()}",
            str(field.default if field.default is not None else "").removeprefix(f"{PROJECT}/"),
        )
        for name, field in Settings.model_fields.items()
    ]
    assert shown == expected
    assert example.count("=") == len(expected)


def test_no_lock_names_a_host() -> None:
    for lock in ("audit.txt", "dev.txt", "serve.txt"):
        text = (PROJECT / "requirements" / lock).read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"://|index-url|find-links|trusted-host", text)
