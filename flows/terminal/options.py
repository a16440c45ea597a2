"""Options that several commands share."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from asof.cadence import moment_of
from asof.errors import DataError
from flows.runtime.environment import default_use_case

DAY = ["%Y-%m-%d"]
MOMENT = [*DAY, "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H%MZ", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]

UseCaseName = Annotated[str, typer.Argument(help="The use case: a folder in asof/use_cases.")]

DefaultUseCase = Annotated[
    str, typer.Argument(default_factory=default_use_case, help="The use case; default: ASOF_USE_CASE.")
]

UseCaseOption = Annotated[str, typer.Option(default_factory=default_use_case, help="Default: ASOF_USE_CASE.")]

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line of stdout.")]

AsOf = Annotated[
    datetime | None, typer.Option(formats=MOMENT, help="The moment that the data describes, UTC; default: the newest.")
]

KnownAt = Annotated[
    datetime | None, typer.Option(formats=MOMENT, help="Use only what was known at this moment, UTC; default: now.")
]

First = Annotated[datetime | None, typer.Option("--as-of", formats=MOMENT, help="The moment of month_000, UTC.")]

FirstOfRange = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", "--from", formats=MOMENT, help="The moment of month_000, or of the queries (default: now), UTC."
    ),
]


def parse_moment(text: str) -> datetime:
    """The UTC datetime in an argument that is not a folder. Raises DataError if it is neither."""
    try:
        return moment_of(datetime.fromisoformat(text))
    except ValueError:
        raise DataError(f"{text} is neither a folder of extracts nor a moment such as 2024-01-31.") from None


def print_hint(text: str) -> None:
    """Prints on stderr, without line breaks."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def exit_with(next_step: str, *, failed: bool) -> None:
    """Prints the next step, if any, on stderr and exits; exit code 1 if `failed`."""
    if next_step:
        print_hint(next_step)
    raise typer.Exit(1 if failed else 0)
