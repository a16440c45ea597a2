"""Arguments and options that several commands share."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from asof.errors import DataError
from asof.extracts.cadence import moment_of
from flows.terminal.command import JSON
from flows.terminal.output import Verbosity, run_command, verbosity

DEMONSTRATED = "churn"
"""The use case that `flows demo` shows if none is named."""

DAY = ["%Y-%m-%d"]
MOMENT = [*DAY, "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H%MZ", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]

Json = Annotated[
    bool,
    typer.Option(JSON, is_eager=True, help="Print one JSON object, the result or the error, and nothing else."),
]

AsOf = Annotated[
    datetime | None, typer.Option(formats=MOMENT, help="The moment that the data describes, UTC; default: the newest.")
]

KnownAt = Annotated[
    datetime | None, typer.Option(formats=MOMENT, help="Use only what was known at this moment, UTC; default: now.")
]

Engine = Annotated[
    Literal["here", "processes", "ray"] | None,  # as `asof.settings.EngineName`, which takes long to import
    typer.Option(help="Where ranges of entities are worked on; default: ASOF_ENGINE, or `here`."),
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
        raise DataError(f"{text} is no use case, no folder of extracts, and no moment such as 2024-01-31.") from None


def print_hint(text: str) -> None:
    """Prints on stderr, without line breaks."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def exit_with(next_step: str, *, failed: bool) -> None:
    """Prints the next step, if any, on stderr and exits; exit code 1 if `failed`."""
    if next_step and (failed or verbosity() is not Verbosity.QUIET):
        print_hint(next_step)
    raise typer.Exit(1 if failed else 0)


def _argument(default: Callable[[], str], default_help: str) -> Any:
    def resolve(context: typer.Context, value: str) -> str:
        if context.resilient_parsing:
            return value
        with run_command("reading", as_json=context.params.get("as_json", False), spinner=False):
            from asof.use_cases import check_name

            value = check_name(value) if value else default()
        return value  # noqa: RET504 - mypy takes `run_command` for one that swallows errors

    return typer.Argument(
        metavar="USE_CASE",
        default_factory=str,
        show_default=False,
        callback=resolve,
        autocompletion=_complete,
        help=f"The use case; default: {default_help}.",
    )


def _complete(incomplete: str) -> list[str]:
    from asof.use_cases import names

    return [name for name in names() if name.startswith(incomplete)]


def _only() -> str:
    from asof.use_cases import default_name

    return default_name()


def _only_with_extracts() -> str:
    from asof.use_cases import default_name

    return default_name(from_store=True)


def _demonstrated() -> str:
    from asof.settings import Settings

    return Settings().use_case or DEMONSTRATED


AnyUseCase = Annotated[str, _argument(_only, "ASOF_USE_CASE, or the only one")]
StoreUseCase = Annotated[str, _argument(_only_with_extracts, "ASOF_USE_CASE, or the only one that has extracts")]
DemoUseCase = Annotated[str, _argument(_demonstrated, f"ASOF_USE_CASE, or {DEMONSTRATED}")]
UseCaseOrAll = Annotated[str, _argument(str, "all")]
UseCaseOfImage = Annotated[str, _argument(str, "that of --bento, ASOF_USE_CASE, or the only one")]
UseCaseToServe = Annotated[str, _argument(str, "all with a version in Production")]
