"""Commands on whether models are still right."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from asof.errors import ConfigurationError
from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import MOMENT, AnyUseCase, Json, KnownAt, exit_with
from flows.terminal.output import run_command
from flows.terminal.runs import choose_run
from flows.terminal.screens.monitoring.monitor import alerts_screen, closed_screen, monitor_screen

commands = typer.Typer()

KEPT = "Figures and alerts are saved together, or not at all; the next run goes on with what is left."


@commands.command(cls=UseCaseCommand)
def monitor(
    use_case: AnyUseCase,
    whole: Annotated[bool, typer.Option("--all", help="Compute every window, not only what is new.")] = False,
    as_of: Annotated[
        datetime | None, typer.Option(formats=MOMENT, help="Compute this window alone, UTC; default: what is new.")
    ] = None,
    known_at: KnownAt = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Retrain at once where an alert asks for it, in this process.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the page of what is known then to this file, too.")] = None,
    as_json: Json = False,
) -> None:
    """Compute how the model in Production does, and open or close alerts. Exit code 1 if an error is open."""
    with run_command("measuring", as_json=as_json, kept=KEPT) as emit:
        settings_with_tracking()
        from flows.stages.monitoring.monitor import monitor as stage

        result = choose_run()(stage, use_case, as_of, known_at, whole, retrain)
        if report:
            from asof.use_cases import load
            from flows.stages.monitoring.report import write_report

            write_report(settings_with_database(), load(use_case), report)
        emit(result, monitor_screen)
    exit_with("", failed=any(each["severity"] == "error" for each in result["alerts"]))


@commands.command(cls=UseCaseCommand)
def alerts(
    use_case: AnyUseCase,
    only_open: Annotated[bool, typer.Option("--open", help="Leave out those that are closed.")] = False,
    close: Annotated[UUID | None, typer.Option(metavar="ALERT", help="Close an alert by its id.")] = None,
    reason: Annotated[str, typer.Option(help="Why it is closed; recorded with it.")] = "",
    as_json: Json = False,
) -> None:
    """List alerts with what became of each, or close one. What a person closed opens again for a newer window only."""
    with run_command("reading", as_json=as_json) as emit:
        if close and not reason.strip():
            raise ConfigurationError("Say why the alert is closed: --reason TEXT.")
        from asof.use_cases import load
        from monitoring.alerts.alert import alert_as_json
        from monitoring.alerts.handling import close_alert
        from monitoring.alerts.rows import alerts_of

        settings = settings_with_database()
        if close:
            closed = close_alert(settings, load(use_case), close, reason.strip())
            emit({"closed": alert_as_json(closed), "reason": reason.strip()}, closed_screen)
        else:
            found = [each for each in alerts_of(settings, use_case) if not (only_open and each.closed)]
            emit({"use_case": use_case, "alerts": [*map(alert_as_json, found)]}, alerts_screen)
