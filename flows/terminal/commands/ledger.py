"""Read and keep the ledger: what each answer of the prediction service rested on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.command import AsOfCommand
from flows.terminal.options import Json
from flows.terminal.output import run_command
from flows.terminal.screens.machine import keep_screen

commands = typer.Typer(no_args_is_help=True, help=__doc__)


@commands.command(cls=AsOfCommand)
def keep(
    days: Annotated[int, typer.Option(min=31, help="Months that ended so many days ago are moved.")] = 400,
    to: Annotated[Path | None, typer.Option(help="The folder of the files; default: archive in ASOF_HOME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Move old months of answers to Parquet files, and make the partitions of the months to come."""
    kept = "A month is dropped only once its file is verified; the same command goes on."
    with run_command("moving", as_json=as_json, kept=kept) as emit:
        from datetime import timedelta

        from asof.settings import Settings
        from monitoring.retention.keep import keep_ledger
        from roles.provision import owner_conninfo

        settings = Settings()
        folder, before = to or settings.home.absolute() / "archive", settings.now() - timedelta(days=days)
        emit(asdict(keep_ledger(owner_conninfo(settings), folder, before, dry_run=dry_run)), keep_screen)
