"""Bill of materials, licences and advisories: of what they are made, and what is said where nothing is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from asof.errors import ConfigurationError
from asof.settings import PROJECT
from local.supply.audit import Advisory, DatabaseAway, audit
from local.supply.licences import licences
from local.supply.sbom import locked, make_sbom, only_locked


def component(name: str, version: str = "1.0", *, needs: tuple[str, ...] = (), **licence: Any) -> dict[str, Any]:
    told = {"licenses": [licence]} if licence else {}
    return {"bom-ref": f"{name}=={version}", "name": name, "version": version, "type": "library", **told}


def bom(*components: dict[str, Any]) -> dict[str, Any]:
    refs = [each["bom-ref"] for each in components]
    dependencies = [{"ref": ref, "dependsOn": refs} for ref in refs]
    return {"metadata": {}, "components": list(components), "dependencies": dependencies}


def tool(folder: Path, name: str, says: str, *, error: str = "", code: int = 0) -> Path:
    """A tool that says this, whatever it is asked."""
    (folder / "said").write_text(says)
    (folder / "error").write_text(error)
    (folder / name).write_text(f'#!/bin/sh\ncat "{folder}/said"; cat "{folder}/error" >&2; exit {code}\n')
    (folder / name).chmod(0o755)
    return folder


def test_what_the_lock_does_not_name_is_not_in_the_image() -> None:
    found = only_locked(bom(component("Feast"), component("mlflow")), {"feast": {"1.0"}})
    assert [each["name"] for each in found["components"]] == ["Feast"]
    assert found["dependencies"] == [{"ref": "Feast==1.0", "dependsOn": ["Feast==1.0"]}]
    assert found["metadata"]["component"]["type"] == "container"


def test_another_version_than_the_locked_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Feast 1\.0.*make setup"):
        only_locked(bom(component("Feast")), {"feast": {"2.0"}})


def test_the_lock_names_what_serves_and_none_of_what_trains() -> None:
    names = locked(PROJECT / "requirements" / "serve.txt")
    assert {"bentoml", "feast", "onnxruntime", "psycopg", "scikit-learn"} <= names.keys()
    assert not {"mlflow", "prefect", "dask", "mypy", "pytest", "pip", "uv"} & names.keys()


def test_a_tool_that_is_absent_is_named_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cyclonedx-py is not installed.*make sbom"):
        make_sbom(tools=tmp_path)


def test_copyleft_and_unknown_licences_are_flagged() -> None:
    found = licences(
        bom(
            component("a", expression="LGPL-3.0-only"),
            component("b", license={"id": "MIT"}),
            component("c"),
            component("d", license={"name": "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"}),
        )
    )
    assert [(each.package, each.flag) for each in found] == [
        ("a", "copyleft"),
        ("b", ""),
        ("c", "unknown"),
        ("d", "copyleft"),
    ]
    assert found[3].licence == "Mozilla Public License 2.0 (MPL 2.0)"


AUDITED = {
    "dependencies": [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "bad", "version": "2", "vulns": [{"id": "GHSA-1", "fix_versions": ["3"], "aliases": []}]},
    ]
}


def test_what_is_known_is_told_once_with_every_lock(tmp_path: Path) -> None:
    tools = tool(tmp_path, "pip-audit", json.dumps(AUDITED), code=1)
    found = audit([Path("dev.txt"), Path("serve.txt")], tools=tools)
    assert found == (Advisory("bad", "2", "GHSA-1", ("3",), ("dev.txt", "serve.txt")),)


def test_a_database_that_is_away_is_no_good_news(tmp_path: Path) -> None:
    said = "Traceback ...\nrequests.exceptions.ConnectionError: Max retries exceeded"
    with pytest.raises(DatabaseAway, match="cannot be reached, so nothing is audited"):
        audit([Path("serve.txt")], tools=tool(tmp_path, "pip-audit", "", error=said, code=1))


def test_packages_that_the_database_does_not_know_are_no_good_news_either(tmp_path: Path) -> None:
    skipped = {"dependencies": [{"name": "odd", "skip_reason": "not found"}]}
    with pytest.raises(DatabaseAway, match=r"1 packages of serve\.txt: odd"):
        audit([Path("serve.txt")], tools=tool(tmp_path, "pip-audit", json.dumps(skipped)))


def test_a_lock_that_cannot_be_read_is_another_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read serve\.txt: .*hash") as caught:
        audit([Path("serve.txt")], tools=tool(tmp_path, "pip-audit", "", error="no hash", code=1))
    assert not isinstance(caught.value, DatabaseAway)
