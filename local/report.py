"""States of the stack -> a table for people."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table

from local.stack.stack import State


def print_states(states: Iterable[State]) -> None:
    """One line for each part: what it does, where, and under which process number."""
    table = Table("", Column("state", overflow="fold"), "address", "pid")
    for state in states:
        word = "\n".join(filter(None, ("running", state.note))) if state.running else state.note or "stopped"
        table.add_row(state.name, word, state.address, str(state.pid or ""))
    Console().print(table)
