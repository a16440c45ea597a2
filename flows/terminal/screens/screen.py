"""A screen: what came of a command, facts, tables that fit the terminal, and the next step."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Rows = Sequence[Mapping[str, Any]]

DIGEST = re.compile("[0-9a-f]{40,64}")
GAP = 2
"""Blanks between columns."""
SHORTEST_WORD, NARROWEST_TEXT = 12, 20
"""Widths up to which no word is cut, and no column is wrapped."""


@dataclass(frozen=True)
class Screen:
    """`well` is false if the command's result asks for action; tables without rows are left out."""

    headline: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Rows] = field(default_factory=dict)
    next_step: str = ""
    well: bool = True


def print_screen(console: Console, screen: Screen, *, brief: bool = False) -> None:
    """Prints plain text where the console is no terminal; `brief`: the headline alone.

    Values of facts are never broken, so they can be copied.
    """
    console.print(Text(screen.headline, style="bold green" if screen.well else "bold red"))
    if brief:
        return
    facts = {name: cell(value) for name, value in screen.facts.items()}
    for line in _fact_lines({name: value for name, value in facts.items() if value}, console.width):
        console.print(Text(line), soft_wrap=True)
    for title, rows in screen.tables.items():
        if rows:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(_table(rows, console.width))
    if screen.next_step:
        console.print(Text(f"\nNext: {screen.next_step}"), soft_wrap=True)


def count(number: int, singular: str, plural: str = "") -> str:
    """The number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def cell(value: Any) -> str:
    """A value as text: thousands with commas, floats with four decimals, moments to the second, digests in short."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4f}"
        case datetime():
            return f"{value:%Y-%m-%d}" if f"{value:%H%M%S}" == "000000" else f"{value:%Y-%m-%d %H:%M:%S}"
        case list() | tuple():
            return "\n".join(map(cell, value))
    return text[:SHORTEST_WORD] if DIGEST.fullmatch(text := str(value)) else text


def _fact_lines(facts: Mapping[str, str], width: int) -> Iterable[str]:
    """A line for each fact; a value that does not fit beside its name has a line of its own."""
    margin = max(map(len, facts), default=0) + GAP
    for name, value in facts.items():
        for number, line in enumerate(value.splitlines()):
            label = "" if number else name
            yield f"{label:{margin}}{line}" if margin + cell_len(line) <= width else f"{label}\n  {line}".lstrip("\n")


def _table(rows: Rows, width: int) -> Table:
    columns = {name: [cell(row[name]) for row in rows] for name in rows[0]}
    natural = [max(map(_width, (name, *cells))) for name, cells in columns.items()]
    widths = fitted(natural, [not any(map(_has_blank, cells)) for cells in columns.values()], width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for (name, cells), room in zip(columns.items(), widths, strict=True):
        table.add_column(
            cut(name, room), justify=_justify([row[name] for row in rows]), no_wrap=not _wraps(cells), overflow="fold"
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(
            *(Text(each if _has_blank(each) else cut(each, room)) for each, room in zip(row, widths, strict=True))
        )
    return table


def _width(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _has_blank(text: str) -> bool:
    return " " in text or "\n" in text


def _wraps(cells: Sequence[str]) -> bool:
    """Whether a column holds sentences: moments and short names of several words are kept on one line."""
    return any(map(_has_blank, cells)) and max(map(_width, cells)) > NARROWEST_TEXT


def _justify(values: Sequence[Any]) -> Literal["left", "right"]:
    numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return "right" if numeric else "left"


def fitted(natural: Sequence[int], words: Sequence[bool], width: int) -> list[int]:
    """The columns' widths: where they are too wide together, columns of words give way, the widest first.

    Columns of sentences are counted as narrow as they may become: they are wrapped.
    """
    widths = [each if word else min(each, NARROWEST_TEXT) for each, word in zip(natural, words, strict=True)]
    while sum(widths) + GAP * (len(widths) - 1) > width:
        reducible = [place for place, word in enumerate(words) if word and widths[place] > SHORTEST_WORD]
        if not reducible:
            break
        widths[max(reducible, key=widths.__getitem__)] -= 1
    return [each if word else full for each, word, full in zip(widths, words, natural, strict=True)]


def cut(text: str, width: int) -> str:
    """The text without its middle if it is longer than `width` characters."""
    if len(text) <= width:
        return text
    kept = width - 2
    return f"{text[: (kept + 1) // 2]}..{text[len(text) - kept // 2 :]}"
