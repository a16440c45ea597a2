"""The terminal door to the local stack, which `flows up` starts: `python -m local env | down | status | secrets`."""

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
        bool, typer.Option("--running", help="As one JSON object, of what runs already; starts nothing.")
    ] = False,
) -> None:
    """Print `export NAME=value` lines, once PostgreSQL answers: eval "$(make -s env)"."""
    if running:
        typer.echo(json.dumps(stack.surroundings(Settings())))
        return
    for name, value in stack.surroundings(postgres.ensure(Settings())).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def down() -> None:
    """Stop what `up` started."""
    typer.echo(f"Stopped: {', '.join(stack.down(Settings())) or 'nothing, nothing was running'}.")


@app.command()
def status() -> None:
    """Tell what runs, where, and under which process number."""
    print_states(stack.states(Settings()))


@app.command()
def wipe() -> None:
    """Stop everything and delete what the stack keeps: the embedded database, artefacts, flow runs, logs."""
    stack.wipe(Settings())
    typer.echo("Stopped; the embedded stack's data is gone.")


@app.command()
def secrets() -> None:
    """Make the secrets of docker-compose.yml that `.env` lacks; none is shown or replaced."""
    made = make_secrets(PROJECT)
    typer.echo(f"Made: {', '.join(made)}." if made else "Every secret is there: nothing was made.")


if __name__ == "__main__":
    try:
        app()
    except AsOfError as error:
        typer.echo(f"{error}", err=True)
        sys.exit(1)
