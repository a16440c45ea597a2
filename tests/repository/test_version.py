"""One version number, `asof.__version__`: in the package's metadata, the changelog, the terminal and the service."""

import re
import tomllib

from typer.testing import CliRunner

from asof import __version__, use_cases
from asof.serving.api.routes import create_app
from asof.serving.http.openapi import document
from asof.settings import PROJECT
from flows.__main__ import app


def test_the_terminal_prints_it() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"asof {__version__}\n")


def test_the_package_takes_it_from_the_source() -> None:
    metadata = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert metadata["project"]["dynamic"] == ["version"]
    assert metadata["tool"]["hatch"]["version"]["path"] == "asof/__init__.py"


def test_the_changelog_has_a_section_for_it() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__ in sections


def test_the_api_description_has_it() -> None:
    use_case = use_cases.load("churn")
    schemas = document(create_app(use_case), use_case, "v3")["components"]["schemas"]
    assert schemas["ModelAnswer"]["properties"]["asof_version"]["examples"] == [__version__]
    assert "asof_version" in schemas["ModelAnswer"]["required"]


def test_the_image_of_the_flows_is_named_after_it() -> None:
    assert f"asof-flows:{__version__}" in (PROJECT / "docker-compose.yml").read_text()
