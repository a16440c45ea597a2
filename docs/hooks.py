"""Adds pages outside docs/ to the site, and rewrites links between both so that they also work in the repository."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/online_store.png",
    "benchmarks/throughput.png",
)


def on_files(files: Files, config: Any) -> Files:
    """The files of docs/ and those of `OUTSIDE`, each under its path in the repository."""
    project = str(Path(config.config_file_path).parent)
    for name in OUTSIDE:
        files.append(File(name, project, config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """`../CHANGELOG.md` in a page of docs/, and `docs/why.md` in one of the root, as paths inside of the site."""
    if page.file.src_uri not in OUTSIDE:
        return re.sub(r"\]\(\.\./", "](", markdown)
    return re.sub(r"\]\((\.\./)?docs/", r"](\1", markdown)
