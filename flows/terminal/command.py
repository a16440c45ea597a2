"""Commands of `python -m flows`: a use case is the first argument, and each takes --quiet and --verbose."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand
from typer.main import get_command

from flows.terminal.output import Verbosity, print_json, set_verbosity

JSON = "--json"


class AsOfCommand(TyperCommand):
    """A command that takes --quiet and --verbose."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **options: Any) -> None:
        super().__init__(*args, params=[*(params or []), *_verbosity_options()], **options)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """A wrong command line is an error in JSON, too, where that is asked for."""
        with _wrong_use(as_json=JSON in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """The same for what a command itself refuses of its arguments."""
        with _wrong_use(as_json=ctx.params.get("as_json", False)):
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without either option the output is normal."""
        set_verbosity(Verbosity.NORMAL)
        return super().parse_args(ctx, args)


@contextmanager
def _wrong_use(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if as_json and hasattr(error, "format_message"):
            print_json({"error": error.format_message()})
        raise


@cache
def _verbosity_options() -> list[Any]:
    def quiet(value: bool) -> None:
        if value:
            set_verbosity(Verbosity.QUIET)

    def verbose(value: bool) -> None:
        if value:
            set_verbosity(Verbosity.VERBOSE)

    def options(
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                callback=quiet,
                expose_value=False,
                help="Print the result's first line alone.",
            ),
        ] = False,
        verbose: Annotated[
            bool,
            typer.Option(
                "--verbose",
                "-v",
                callback=verbose,
                expose_value=False,
                help="Print each step, and tracebacks.",
            ),
        ] = False,
    ) -> None: ...

    app = typer.Typer(add_completion=False)
    app.command()(options)
    return list(get_command(app).params)


class UseCaseCommand(AsOfCommand):
    """A command whose first argument is a use case if it bears the name of one; `./churn` is always a folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts an empty name before other arguments that do not begin with a use case."""
        named = ctx.resilient_parsing or self._names_use_case(ctx, args)
        return super().parse_args(ctx, args if named else ["", *args])

    def _names_use_case(self, ctx: Any, args: list[str]) -> bool:
        """Whether a use case is named, or there are so many arguments that the first one can be nothing else."""
        from asof.use_cases import names

        arguments = [each.name for each in self.params if isinstance(each, TyperArgument)]
        values, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        words = [*(word for name in arguments if isinstance(word := values.get(name), str)), *rest]
        return bool(words) and (words[0] in names() or len(words) >= len(arguments))
