"""Writes the bill of materials of a version to a file."""

import json
from pathlib import Path
from typing import Any

from asof.files import write_whole
from asof.settings import PROJECT, Settings
from asof.use_cases import load
from training.audit.model_bom import model_bom
from training.release.registry.versions import model_version, require_production


def write_bom(settings: Settings, use_case: str, version: str | None, *, to: Path | None) -> dict[str, Any]:
    """The file and what is in it. Raises ModelError where there is no such version."""
    problem = load(use_case)
    chosen = model_version(settings, problem, version) if version else require_production(settings, problem)
    document = model_bom(settings, problem, chosen)
    file = (to or PROJECT / "dist" / f"{chosen.name}-v{chosen.version}.cdx.json").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(document, indent=1, ensure_ascii=False) + "\n", mode=0o644)
    return {
        "file": str(file),
        "model": chosen.name,
        "version": chosen.version,
        "data": [
            {"file": each["name"], "as of": each["version"], "sha256": each["hashes"][0]["content"]}
            for each in document["components"][1:]
            if each.get("hashes")
        ],
    }
