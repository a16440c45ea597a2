"""The command that erases an entity."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.runtime.environment import settings_with_tracking
from flows.runtime.progress import log
from flows.terminal.command import UseCaseCommand
from flows.terminal.options import Json, UseCaseOrAll
from flows.terminal.output import run_command
from flows.terminal.screens.monitoring.erasure import again_screen, erasure_screen

commands = typer.Typer()

KEPT = "What is erased stays erased; the same command finishes the rest."
STDIN = "-"


@commands.command(cls=UseCaseCommand)
def erase(
    use_case: UseCaseOrAll,
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY|-", help="The id, or JSON of some of several keys; -: from stdin.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the tombstone; without the id.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the copies and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    scores: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="A folder of Parquet scores that this home does not know."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="After a restore: erase again what tombstones cover, of all use cases.")
    ] = False,
    tombstones: Annotated[Path | None, typer.Option(help="With --again: a file erasures.jsonl besides ours.")] = None,
    as_json: Json = False,
) -> None:
    """Erase every copy of an entity, and leave a tombstone. Exit code 1 if something of it is left."""
    if again:
        _again(use_case, tombstones, as_json=as_json)
        return
    if not entity or not (reason or dry_run):
        raise typer.BadParameter("name an entity, and a --reason (or --dry-run, or --again)")
    text = sys.stdin.readline().strip() if entity == STDIN else entity
    folders = tuple(scores or ())
    found: dict[str, Any] = {}
    with run_command("looking", as_json=as_json) as emit:
        from asof.use_cases import default_name, load
        from training.erasure.erase import look

        problem = load(use_case or default_name(from_store=True))
        looked = look(settings_with_tracking(), problem, text, scores=folders, progress=log.info)
        found = looked.shown
        if dry_run or looked.erased_before:
            emit(found, erasure_screen)
    if not dry_run and not looked.erased_before:
        found = _erase(problem, text, reason, folders, looked, yes=yes, as_json=as_json)
    raise typer.Exit(1 if found["remaining"] else 0)


def _erase(
    problem: Any, text: str, reason: str, folders: tuple[Path, ...], found: Any, *, yes: bool, as_json: bool
) -> dict[str, Any]:
    if not yes:
        typer.confirm(f"Erase {found.count:,} copies in {len(found.copies)} places for good?", abort=True, err=True)
    done: dict[str, Any] = {}
    with run_command("erasing", as_json=as_json, kept=KEPT) as emit:
        from training.erasure.erase import erase as stage

        settings = settings_with_tracking()
        erased = stage(settings, problem, text, reason=reason, scores=folders, found=found, progress=log.info)
        done = erased.shown
        emit(done, erasure_screen)
    return done


def _again(use_case: str, tombstones: Path | None, *, as_json: bool) -> None:
    done: dict[str, Any] = {}
    with run_command("erasing again", as_json=as_json, kept=KEPT) as emit:
        from asof.use_case import FromStore
        from asof.use_cases import load, load_all
        from training.erasure.again import erase_again

        settings = settings_with_tracking()
        problems = (
            [load(use_case)] if use_case else [each for each in load_all()[0] if isinstance(each.source, FromStore)]
        )
        erased = [one for each in problems for one in erase_again(settings, each, file=tombstones, progress=log.info)]
        done = {"erased": [each.shown for each in erased]}
        emit(done, again_screen)
    raise typer.Exit(1 if any(each["remaining"] for each in done["erased"]) else 0)
