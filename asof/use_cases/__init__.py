"""The prediction problems, one folder each; `load` finds one by the folder's name."""

import importlib
import pkgutil
from collections.abc import Iterator

from asof.errors import ConfigurationError
from asof.use_case import FromStore, UseCase


def names() -> list[str]:
    """The use cases that this checkout or Bento holds."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def load(name: str) -> UseCase:
    """The use case of that name.

    Raises ConfigurationError, naming those that exist, and where it has another name than its folder, or shares a raw
    table or a registered model with another use case here: each would take the other's rows or versions for its own.
    """
    if name not in names():
        raise ConfigurationError(f"There is no use case {name!r}; there are: {', '.join(names())}.")
    use_case = _imported(name)
    if use_case.name != name:
        raise ConfigurationError(
            f"The use case in asof/use_cases/{name} is named {use_case.name!r}: set name={name!r} in its __init__.py."
        )
    for other in others(name):
        refuse_shared(use_case, other)
    return use_case


def refuse_shared(one: UseCase, other: UseCase) -> None:
    """Raises ConfigurationError where two use cases have a raw table or a registered model in common."""
    if shared := _tables(one) & _tables(other):
        raise ConfigurationError(
            f"Use cases {one.name!r} and {other.name!r} both have the raw table {', '.join(sorted(shared))}: rename "
            "those of one of them in its raw_schema.py (a table's file is NAME.csv)."
        )
    if one.model_name == other.model_name:
        raise ConfigurationError(
            f"Use cases {one.name!r} and {other.name!r} both have the registered model {one.model_name!r}: set another "
            "model_name in the __init__.py of one of them."
        )


def _imported(name: str) -> UseCase:
    use_case: UseCase = importlib.import_module(f"{__name__}.{name}").USE_CASE
    return use_case


def others(name: str) -> Iterator[UseCase]:
    """The other use cases here, without those that do not import: their own commands say why."""
    for other in names():
        if other != name:
            try:
                use_case = _imported(other)
            except Exception:  # noqa: S112 - whatever its author has written
                continue
            yield use_case


def _tables(use_case: UseCase) -> set[str]:
    if not isinstance(use_case.source, FromStore):
        return set()
    extract = use_case.source.extract
    return {table.name for table in (*extract.tables, extract.labels)}
