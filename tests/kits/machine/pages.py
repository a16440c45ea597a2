"""The commands of a page of docs/ as one script, and the code of a notebook."""

import json
import re
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(sh|python|sql)\n(.*?)^```", re.DOTALL | re.MULTILINE)
IN_SHELL = {
    "sh": "{}",
    "python": "python - <<'END'\n{}END\n",
    "sql": "eval \"$(make -s env)\"\npython - <<'END'\nimport os, psycopg\n"
    'with psycopg.connect(os.environ["ASOF_POSTGRES_URL"]) as connection:\n    connection.execute("""{}""")\nEND\n',
}


def script_of(page: str) -> str:
    """Its blocks `sh`, `python` and `sql` for one shell: a variable that one of them sets is there in the next."""
    return "\n".join(IN_SHELL[language].format(block) for language, block in BLOCK.findall(page))


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    """Its cells of code."""
    cells: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return [each for each in cells if each["cell_type"] == "code"]


def code_of(notebook: Path) -> str:
    """Its cells of code as one program."""
    return "\n\n".join("".join(each["source"]) for each in cells_of(notebook)) + "\n"
