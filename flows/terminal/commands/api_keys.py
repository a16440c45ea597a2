"""The keys without which nobody may ask the prediction service: `python -m flows api-keys add | list | remove`.

They stand, hashed, in the file ASOF_API_KEYS; services that run take a change over within a second.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import ApiKey
from asof.serving.access.key_editing import add_key, list_keys, remove_key
from asof.settings import Settings
from flows.terminal.output import account

commands = typer.Typer(no_args_is_help=True, help=__doc__)

File = Annotated[Path | None, typer.Option(help="The file of keys; default: ASOF_API_KEYS.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, the last line of stdout.")]


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is: letters, digits, dots, dashes. Logs name it.")],
    scope: Annotated[
        list[str],
        typer.Option(help="predict: predictions and features; admin: /model, /metrics, /health and the rest."),
    ],
    expires: Annotated[str | None, typer.Option(help="The last day on which it counts, UTC: 2027-01-31.")] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, once: the file holds only its SHA-256."""
    with account("adding", as_json=as_json, quiet=True) as say:
        added, key = add_key(_file(file), name, scope, expires)
        if as_json:
            say({**_told(added), "key": key})
        else:
            typer.echo(key)
            _hint(
                f"{name} may {' and '.join(sorted(added.scopes))}. This key is shown only now: `Authorization: Bearer`."
            )


@commands.command("list")
def list_(file: File = None, as_json: Json = False) -> None:
    """Show the names, scopes and last days; keys and hashes are not shown."""
    with account("reading", as_json=as_json, quiet=True) as say:
        say({"keys": [_told(key) for key in list_keys(_file(file))]})


@commands.command()
def remove(name: str, file: File = None, as_json: Json = False) -> None:
    """Take a key out: services that run refuse it within a second."""
    with account("removing", as_json=as_json, quiet=True) as say:
        say({"removed": remove_key(_file(file), name).name})


def _file(given: Path | None) -> Path:
    path = given or Settings().api_keys
    if path is None:
        raise ConfigurationError("ASOF_API_KEYS is not set: set it to the file of keys, or name one by --file.")
    return path


def _told(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "scopes": ", ".join(sorted(key.scopes)), "expires": key.expires or ""}


def _hint(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
