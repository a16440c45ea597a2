"""What the documents name exists: targets of make, commands and options of `python -m flows`, files.

Blocks marked `sh` are run as they stand by test_readme.py, test_docs.py and test_adding_a_use_case.py. Blocks marked
`shell` need Docker, a superuser or a server that is not here; tests/containers and tests/integration run such commands.
"""

import ast
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from asof.settings import PROJECT
from flows.__main__ import app

PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md"))]
HOOKS = PROJECT / "docs" / "hooks.py"
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
BEFORE = r"(?:`|^|\| |\$\(|=\S+ |exec worker-training |&& )"
COMMAND = re.compile(BEFORE + r"(make|python -m flows) ([^`#\n|)]+)", re.MULTILINE)


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Of blocks and of the text: `make` or `python -m flows`, and its words."""
    for program, words in COMMAND.findall(page.read_text()):
        yield program, shlex.split(words.partition(" && ")[0].partition(" > ")[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    for program, words in commands(page):
        if program == "make":
            targets = [word for word in words if "=" not in word and not word.startswith("-")]
            assert set(targets) <= TARGETS, words
        else:
            with contextlib.suppress(typer.Exit):  # of --version
                parse(words)


def parse(words: list[str]) -> None:
    """Raises what the command line raises for an unknown command or option, or a missing argument."""
    command, context = get_command(app), None
    while True:
        context = command.make_context(words[0], [*words] if context is None else words[1:], parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        words = [name, *words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", page.read_text())
    roots = [PROJECT / name for name in ("", "asof", "asof/serving", "training", "monitoring", "online_store", "flows")]
    ours = [name for name in named if not name.startswith(("asof/use_cases/iris", "data/", "dist/"))]
    assert [name for name in ours if not any((root / name).exists() for root in roots)] == []


def test_a_page_links_to_pages_of_the_site_only() -> None:
    """The site (docs/hooks.py) has no other file of the repository; `make docs` would fail."""
    outside = set(ast.literal_eval(re.search(r"OUTSIDE = (\(.*?\n\))", HOOKS.read_text(), re.DOTALL)[1]))
    docs = PROJECT / "docs"
    links = [
        (page.name, (page.parent / name).resolve())
        for page in docs.rglob("*.md")
        for name in re.findall(r"\]\((\.\./[^)#]+)", page.read_text())
    ]
    leaving = [(page, str(path.relative_to(PROJECT))) for page, path in links if not path.is_relative_to(docs)]
    assert len(leaving) > 5
    assert [each for each in leaving if each[1] not in outside] == []


def test_the_pages_hold_commands() -> None:
    """Else the pattern above has lost them."""
    found = [each for page in PAGES for each in commands(page)]
    assert len(found) > 90
    assert {words[0] for program, words in found if program == "python -m flows"} >= {"retrain", "trace", "databases"}


def test_the_messages_of_troubleshooting_are_those_of_the_code() -> None:
    folders = ("asof", "doctor", "flows", "local", "online_store", "roles", "training")
    code = "\n".join(file.read_text() for folder in folders for file in (PROJECT / folder).rglob("*.py"))
    code = re.sub(r"\{.*?\}", "...", re.sub(r'"\s*\n\s*f?"', "", code))  # f-strings over several lines as one text
    symptoms = [
        row.split("|")[1]
        for row in (PROJECT / "docs" / "operations" / "troubleshooting.md").read_text().splitlines()[2:]
        if "|" in row
    ]
    messages = [text for symptom in symptoms for text in re.findall(r"`(.+?)`", symptom) if " " in text]
    pieces = [piece.strip() for text in messages for piece in re.split(r"\.\.\.|\d+", text)]
    assert len(pieces) > 12
    assert [piece for piece in pieces if piece not in code] == []
