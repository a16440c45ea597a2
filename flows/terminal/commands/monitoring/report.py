"""Write the monitoring page."""

from pathlib import Path
from typing import Annotated

import typer

from flows.runtime.environment import settings_with_database
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import AnyUseCase, Json
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.report import report_screen

commands = typer.Typer()


@commands.command(cls=UseCaseCommand)
def report(
    use_case: AnyUseCase,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file of the page; default: reports/USE_CASE.html in ASOF_HOME.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what monitoring knows as one HTML page: whether the model is still right, why, and what came of each alert.

    Nothing is computed: `flows monitor` and `flows audit` do that.
    """
    with run_command("writing", as_json=as_json) as emit:
        from asof.use_cases import load
        from flows.stages.monitoring.report import write_report
        from monitoring.report.keep import page_of_now

        settings, problem = settings_with_database(), load(use_case)
        emit(write_report(settings, problem, out or page_of_now(settings, problem)), report_screen)
