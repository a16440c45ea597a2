"""A file `.env` -> its variables, and lines that nobody can read."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from flows.doctor.finding import Finding, error, warning


def variables_of(path: Path) -> dict[str, str]:
    """What it sets; nothing where it is absent or no text."""
    try:
        return {name: value or "" for name, value in dotenv_values(path).items()} if path.is_file() else {}
    except UnicodeDecodeError:
        return {}


def readable(path: Path) -> Iterator[Finding]:
    """Whether all of it counts."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        found = f"{path} is no text in UTF-8: every command ends with that. What follows was looked at without it."
        yield error("env-file", found, "Write it anew as UTF-8 (iconv -f latin1 -t utf-8).")
        return
    if lines := [str(each.original.line) for each in parse_stream(StringIO(text)) if each.error]:
        found = f"{path} cannot be read in line {', '.join(lines)}: what is set there does not count."
        yield warning("env-file", found, "Write NAME=value, with both quotes or none.")
