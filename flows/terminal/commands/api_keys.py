"""Manage the API keys of the prediction service.

The file ASOF_API_KEYS holds their hashes; running services reload it within a second.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import ApiKey
from asof.serving.access.key_editing import add_key, list_keys, remove_key
from flows.terminal.command import AsOfCommand
from flows.terminal.options import Json, print_hint
from flows.terminal.output import run_command
from flows.terminal.screens.machine import keys_screen, removed_screen

commands = typer.Typer(no_args_is_help=True, help=__doc__)

File = Annotated[Path | None, typer.Option(help="The file of keys; default: ASOF_API_KEYS.")]


@commands.command(cls=AsOfCommand)
def add(
    name: Annotated[str, typer.Argument(help="Its owner, as shown in logs: letters, digits, dots, dashes.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="predict: predictions and features; what-if: overrides in predictions, too; outcomes: POST /outcomes; "
            "admin: /model, /metrics and the rest."
        ),
    ],
    expires: Annotated[str | None, typer.Option(help="The last day on which it is valid, UTC: 2027-01-31.")] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Create a key and print it once; the file holds only its SHA-256."""
    with run_command("adding", as_json=as_json, spinner=False) as emit:
        added, key = add_key(_file(file), name, scope, expires)
        if as_json:
            emit({**_row(added), "key": key})
        else:
            typer.echo(key)
            scopes = ", ".join(sorted(added.scopes))
            print_hint(f"Scopes: {scopes}. Store the key now and send it as `Authorization: Bearer KEY`.")


@commands.command("list", cls=AsOfCommand)
def list_(file: File = None, as_json: Json = False) -> None:
    """List names, scopes and expiry dates; keys and hashes are not shown."""
    with run_command("reading", as_json=as_json, spinner=False) as emit:
        emit({"keys": [_row(key) for key in list_keys(_file(file))]}, keys_screen)


@commands.command(cls=AsOfCommand)
def remove(name: str, file: File = None, as_json: Json = False) -> None:
    """Remove a key; running services refuse it within a second."""
    with run_command("removing", as_json=as_json, spinner=False) as emit:
        emit({"removed": remove_key(_file(file), name).name}, removed_screen)


def _file(option: Path | None) -> Path:
    from asof.settings import Settings

    path = option or Settings().api_keys
    if path is None:
        raise ConfigurationError("ASOF_API_KEYS is not set. Set it to the file of API keys, or pass --file.")
    return path


def _row(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "scopes": ", ".join(sorted(key.scopes)), "expires": key.expires or ""}
