"""The terminal door: `python -m flows COMMAND`. Each command calls one flow or stage and prints the result.

People read tables on stdout and progress on stderr; with `--json` the last line of stdout is one JSON object.
"""

import typer

from flows.terminal.commands import api_keys, data, machine, models, serving

door = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for group in (machine, data, models, serving):
    door.add_typer(group.commands)
door.add_typer(api_keys.commands, name="api-keys")


if __name__ == "__main__":
    door()
