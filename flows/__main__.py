"""AsOf's command line: each command runs one flow or stage and prints its result.

Tables go to stdout and progress to stderr; with `--json` the last line of stdout is one JSON object.
"""

from typing import Annotated

import typer

from asof import __version__
from flows.terminal.commands import api_keys, data, machine, models, serving

door = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for group in (machine, data, models, serving):
    door.add_typer(group.commands)
door.add_typer(api_keys.commands, name="api-keys")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"asof {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print AsOf's version and exit.")
]


@door.callback(help=__doc__)
def main(version: Version = False) -> None: ...


if __name__ == "__main__":
    door()
