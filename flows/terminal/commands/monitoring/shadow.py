"""Compare a challenger in shadow with the version that answers."""

from typing import Annotated

import typer

from flows.terminal.command import UseCaseCommand
from flows.terminal.commands.monitoring.ledger import Since, Until
from flows.terminal.options import AnyUseCase, Json
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.shadow import shadow_screen

commands = typer.Typer()


@commands.command(cls=UseCaseCommand)
def shadow(
    use_case: AnyUseCase,
    version: Annotated[str | None, typer.Option(help="The challenger; default: the one that scored last.")] = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Compare a challenger in shadow with the version that answers. Exit code 1 if the gate's bounds are not met."""
    with run_command("comparing", as_json=as_json) as emit:
        from asof.use_cases import load
        from flows.stages.monitoring.shadow import compare_shadow, missing, shadow_result

        problem = load(use_case)
        found = compare_shadow(use_case, version, since, until)
        lacks = missing(found, problem)
        emit(shadow_result(found, lacks), shadow_screen)
    raise typer.Exit(1 if lacks else 0)
