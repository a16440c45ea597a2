"""Prints the states of the stack as a table."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table

from local.stack.stack import State


def print_states(states: Iterable[State]) -> None:
    """One row for each server: state, address and pid."""
    table = Table("", Column("state", overflow="fold"), "address", "pid")
    for state in states:
        text = "\n".join(filter(None, ("running", state.note))) if state.running else state.note or "stopped"
        table.add_row(state.name, text, state.address, str(state.pid or ""))
    Console().print(table)
