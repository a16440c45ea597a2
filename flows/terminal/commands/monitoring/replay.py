"""Compute kept answers again."""

from typing import Annotated

import typer

from asof.errors import DataError
from flows.runtime.environment import settings_with_tracking
from flows.terminal.command import UseCaseCommand
from flows.terminal.commands.monitoring.ledger import Entity, Since, Until
from flows.terminal.options import AnyUseCase, Json
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.ledger import replay_screen, what_if_screen

commands = typer.Typer()

SAMPLE = 1000


@commands.command(cls=UseCaseCommand)
def replay(
    use_case: AnyUseCase,
    request_id: Annotated[str | None, typer.Argument(help="A request id; of a batch's item ID:PLACE.")] = None,
    entity: Entity = None,
    since: Since = None,
    until: Until = None,
    sample: Annotated[int, typer.Option(min=1, help="At most so many, chosen by a hash: the same each time.")] = SAMPLE,
    model: Annotated[str | None, typer.Option(help="Say what this version would have answered, instead.")] = None,
    as_json: Json = False,
) -> None:
    """Compute kept answers again from their kept values. Exit code 1 if one differs or cannot be computed."""
    with run_command("computing", as_json=as_json) as emit:
        if not (request_id or entity or since or until):
            raise DataError("Name a request id, or --since, --until or --entity.")
        from asof.ledger.reading.choose import of_request, sample_kept
        from asof.ledger.reading.moved import moved_months, moved_text
        from asof.use_cases import load
        from training.audit.replay.replay import replay as stage
        from training.audit.replay.what_if import what_if

        settings, problem = settings_with_tracking(), load(use_case)
        if request_id:
            answers = of_request(settings, problem, request_id)
        else:
            answers = sample_kept(settings, problem, sample, entity=entity, since=since, until=until)
        if not answers:
            moved = moved_text(moved_months(settings, request=request_id, since=since, until=until))
            find = "see `python -m flows ledger find`."
            raise DataError(f"The ledger has no such answers of {use_case}{f'. {moved}' if moved else f': {find}'}")
        if model:
            emit(what_if(settings, problem, answers, model), what_if_screen)
            agrees = True
        else:
            result = stage(settings, problem, answers)
            emit(result, replay_screen)
            agrees = result.agrees
    raise typer.Exit(0 if agrees else 1)
