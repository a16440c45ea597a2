"""The command that writes a new use case."""

import shlex
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.command import AsOfCommand
from flows.terminal.options import Json
from flows.terminal.output import run_command
from flows.terminal.screens.machine import new_use_case_screen
from training.data.extracts.files.data_files import delivered_tables

if TYPE_CHECKING:
    from scaffold.draft import Draft

commands = typer.Typer()


@commands.command(cls=AsOfCommand)
def new(
    name: Annotated[str, typer.Argument(help="Name of the use case: lowercase letters, digits and underscores.")],
    origin: Annotated[
        str, typer.Option("--from", help="A CSV or Parquet file, a folder of them, or a table or query of PostgreSQL.")
    ],
    entity: Annotated[str, typer.Option(help="Column of the key; several, separated by commas, are a composite key.")],
    label: Annotated[
        str, typer.Option(help="Column of what is to be predicted: two values, classes in words, or a number.")
    ],
    positive: Annotated[str | None, typer.Option(help="The label's value that is the positive class.")] = None,
    moment_column: Annotated[
        str | None, typer.Option(help="Column of the moment that a row describes, of a table that has several.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(min=0, help="Days after the moment of its features at which the label is known.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title for people; default: the name.")] = "",
    as_json: Json = False,
) -> None:
    """Write the folder of a use case and its features, from a look at its data. Nothing is overwritten."""
    with run_command("looking", as_json=as_json) as emit:
        from asof.extracts.sources import DEFAULT_SERVER
        from asof.settings import PROJECT
        from scaffold.draft import Wish, left_out, make_draft
        from scaffold.read import read_tables
        from scaffold.write import write_use_case

        keys = tuple(each.strip() for each in entity.split(","))
        wish, now = Wish(name, keys, label, positive, title, moment_column, horizon), datetime.now(UTC)
        moment = (now - timedelta(days=horizon or 0)).replace(hour=0, minute=0, second=0, microsecond=0)
        server = partial(_source_server, DEFAULT_SERVER)
        draft = make_draft(wish, read_tables(origin, server, moment_column, moment), now)
        files = [str(file.relative_to(PROJECT)) for file in write_use_case(draft, PROJECT)]
        features = [column.name for table in draft.tables for column in table.features]
        result = {"use_case": name, "files": files, "features": features, "left_out": list(left_out(draft))}
        emit({**result, "next": _next_step(draft, origin)}, new_use_case_screen)


def _source_server(name: str) -> str:
    from flows.runtime.environment import settings_with_database

    return settings_with_database().source_conninfo(name)


def _next_step(draft: "Draft", origin: str) -> str:
    """The demo; of files beside each other as of the moment that they describe, which only the user knows."""
    words, moment = [f"make demo USE_CASE={draft.wish.name}"], draft.newest
    if not draft.queried:
        folder = Path(origin) if Path(origin).is_dir() else Path(origin).parent
        words.append(f"DATA={shlex.quote(str(folder))}")
        moment = "YYYY-MM-DD" if delivered_tables(folder) else ""
    return " ".join([*words, *([f"AS_OF={moment}"] if moment else [])])
