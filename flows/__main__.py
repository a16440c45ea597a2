"""AsOf: each command runs a flow or a stage and prints its result.

Results go to stdout and progress to stderr; with `--json` stdout is one JSON object, the result or the error.
"""

import os
from typing import Annotated

import typer

from asof import __version__
from flows.terminal.commands import api_keys, data, machine, models, scaffold, serving, snapshots
from flows.terminal.commands.monitoring import audit, erasure, ledger, monitor, outcomes, replay, report, shadow

COMPLETION = "_FLOWS_COMPLETE"
"""The variable in which a shell asks for completions."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for group in (machine, scaffold, data, models, serving, monitor, replay, audit, shadow, erasure, report):
    app.add_typer(group.commands)
app.add_typer(api_keys.commands, name="api-keys")
app.add_typer(ledger.commands, name="ledger")
app.add_typer(snapshots.commands, name="snapshots")
app.add_typer(outcomes.commands, name="outcomes")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"asof {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print AsOf's version and exit.")
]


@app.callback(help=__doc__)
def main(version: Version = False) -> None: ...


def run() -> None:
    """Runs the command of the command line, or completes it for the shell function in docs/operations/operations.md."""
    if COMPLETION in os.environ:
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()  # makes the shells known, as Typer does for --install-completion
    app(complete_var=COMPLETION)


if __name__ == "__main__":
    run()
