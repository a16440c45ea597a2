"""Adds pages outside docs/ and notebooks to the site, and rewrites links so that they also work in the repository."""

import json
import re
from collections.abc import Iterator
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
    """The files of docs/, a page for each notebook, and those of `OUTSIDE`, each under its path in the repository."""
    project = str(Path(config.config_file_path).parent)
    for name in OUTSIDE:
        files.append(File(name, project, config.site_dir, config.use_directory_urls))
    for notebook in [each for each in files if each.src_uri.endswith(".ipynb")]:
        cells = json.loads(Path(notebook.abs_src_path).read_text())["cells"]
        page = "\n\n".join(text for cell in cells for text in _markdown(cell))
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content=page))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as paths inside of the site.

    `../../CHANGELOG.md` in a page of a folder of docs/ has one `../` less there, and `docs/why.md` in a page of the
    root no `docs/`.
    """
    markdown = markdown.replace(".ipynb)", ".md)")
    if page.file.src_uri not in OUTSIDE:
        up = "../" * page.file.src_uri.count("/")
        return markdown.replace(f"](../{up}", f"]({up}")
    return re.sub(r"\]\((\.\./)?docs/", r"](\1", markdown)


def _markdown(cell: dict[str, Any]) -> Iterator[str]:
    """A cell of a notebook with its outputs (https://nbformat.readthedocs.io, version 4)."""
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", ()):
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            yield f'<img alt="chart" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
        elif "text/html" in data:
            yield "".join(data["text/html"])
        else:
            yield f"```text\n{''.join(data['text/plain'])}\n```"
