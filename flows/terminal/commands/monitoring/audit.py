"""Compare what was served with what was known."""

from datetime import datetime
from typing import Annotated

import typer

from asof.extracts.cadence import moment_of
from flows.runtime.environment import settings_with_tracking
from flows.terminal.command import UseCaseCommand
from flows.terminal.commands.monitoring.ledger import Since, Until
from flows.terminal.options import MOMENT, AnyUseCase, Json
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.audit import audit_screen

commands = typer.Typer()


@commands.command(cls=UseCaseCommand)
def audit(
    use_case: AnyUseCase,
    sample: Annotated[
        str, typer.Option(help="The share of the entities, chosen by a hash: the same each time.")
    ] = "5%",
    since: Since = None,
    until: Until = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=MOMENT, help="Only answers about this moment, UTC; default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare served values with the snapshots, as known then and now. Exit code 1 if one is wrong.

    Of the answers of the last 31 days, unless --since says otherwise.
    """
    with run_command("reading", as_json=as_json) as emit:
        settings_with_tracking()
        from flows.stages.monitoring.audit import audit as stage
        from flows.terminal.runs import choose_run

        moments = {
            name: each and moment_of(each) for name, each in {"since": since, "until": until, "as_of": as_of}.items()
        }
        result = choose_run()(stage, use_case, sample, **moments)
        emit(result, audit_screen)
    raise typer.Exit(1 if result["errors"] else 0)
