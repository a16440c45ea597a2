"""The use case as the first argument of a command, which may be left out: `flows ingest [USE_CASE] [FOLDER]`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from flows.terminal.output import run_command

DEMONSTRATED = "churn"
"""The use case that `flows demo` shows if none is named."""


class UseCaseCommand(TyperCommand):
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


def _argument(default: Callable[[], str], default_help: str) -> Any:
    def resolve(context: typer.Context, value: str) -> str:
        if context.resilient_parsing:
            return value
        with run_command("reading", quiet=True):
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
