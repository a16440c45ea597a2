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
        from monitoring.report.judgement import judge
        from monitoring.report.page import write_page

        settings, problem = settings_with_database(), load(use_case)
        path = out or settings.home.absolute() / "reports" / f"{problem.name}.html"
        evidence = write_page(settings, problem, path)
        judgement = judge(evidence)
        found = {"page": str(path), "version": evidence.version, "state": judgement.state.value}
        emit(
            {
                "use_case": problem.name,
                **found,
                "sentence": judgement.sentence,
                "reasons": list(judgement.reasons),
                "open_alerts": len(evidence.open_alerts),
                "figures": len(evidence.figures),
            },
            report_screen,
        )
