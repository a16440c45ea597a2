"""Manage the local stack that `python -m flows up` starts."""

import json
import shlex
import sys
from typing import Annotated

import typer

from asof.errors import AsOfError
from asof.settings import PROJECT, Settings
from local.embedded_postgres import postgres
from local.report import print_states
from local.stack import stack
from local.stack.stack_secrets import make_secrets

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def env(
    running: Annotated[
        bool, typer.Option("--running", help="Print one JSON object for the servers that are running; start nothing.")
    ] = False,
) -> None:
    """Start PostgreSQL if needed and print `export NAME=value` lines: eval "$(make -s env)"."""
    if running:
        typer.echo(json.dumps(stack.platform_environment(Settings())))
        return
    for name, value in stack.platform_environment(postgres.ensure(Settings())).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def down() -> None:
    """Stop what `up` started."""
    typer.echo(f"Stopped: {', '.join(stack.down(Settings())) or 'nothing, nothing was running'}.")


@app.command()
def status() -> None:
    """Show the state, address and pid of each server."""
    print_states(stack.states(Settings()))


@app.command()
def wipe() -> None:
    """Stop everything and delete the data of the stack: embedded database, artefacts, flow runs, logs."""
    stack.wipe(Settings())
    typer.echo("Stopped everything and deleted the data of the embedded stack.")


@app.command()
def secrets() -> None:
    """Create the secrets for docker-compose.yml that are missing in `.env`; none is shown or replaced."""
    made = make_secrets(PROJECT)
    typer.echo(f"Created: {', '.join(made)}." if made else "No secret is missing.")


if __name__ == "__main__":
    try:
        app()
    except AsOfError as error:
        typer.echo(f"{error}", err=True)
        sys.exit(1)
