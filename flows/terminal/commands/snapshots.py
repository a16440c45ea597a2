"""Keep the snapshot tables: months that are old enough are dropped."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from flows.runtime.environment import settings_with_tracking
from flows.runtime.progress import log
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import Json, StoreUseCase
from flows.terminal.output import run_command
from flows.terminal.screens.data import months_screen

commands = typer.Typer(no_args_is_help=True, help=__doc__)


@commands.command(cls=UseCaseCommand)
def keep(
    use_case: StoreUseCase,
    days: Annotated[int, typer.Option(min=62, help="Months that ended so many days ago are dropped.")] = 1100,
    breaking: Annotated[
        bool, typer.Option("--breaking", help="Also those that registered versions were trained on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be dropped, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Drop old months of the snapshot tables, unless a registered version could not be reproduced without them."""
    kept = "A month is dropped with its record; the same command goes on."
    with run_command("dropping", as_json=as_json, kept=kept) as emit:
        from asof.use_cases import load
        from roles.provision import snapshots_owner
        from training.audit.retention import keep_snapshots

        settings = settings_with_tracking()
        done = keep_snapshots(
            settings,
            load(use_case),
            settings.now() - timedelta(days=days),
            owner=snapshots_owner(settings),
            breaking=breaking,
            dry_run=dry_run,
            progress=log.info,
        )
        emit(asdict(done), months_screen)
