"""Imports Feast without the compiling of its type checks, which is two thirds of its import (3 s of a processor).

Feast's classes are decorated by typeguard, which parses, changes and compiles the whole module again for each of their
methods. What people write in feature_repo/ are calls of constructors, so these are still checked, when they are called.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from inspect import Parameter, isclass, signature
from typing import Any


def import_feast() -> None:
    """Imports Feast; comes before the first `import feast` of a process. Without effect where it is imported."""
    if "feast" not in sys.modules:
        with _checked_when_called():
            import_module("feast")


@contextmanager
def _checked_when_called() -> Iterator[None]:
    """In the block, typeguard's decorator leaves classes of Feast as they are, but for the constructor."""
    import typeguard

    compiling = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:
        ours = isclass(target) and target.__module__.startswith("feast.")
        return _constructor_checked(target) if ours else compiling(target, **options)

    typeguard.typechecked = typechecked
    try:
        yield
    finally:
        typeguard.typechecked = compiling


def _constructor_checked(target: Any) -> Any:
    if "__init__" not in vars(target):
        return target
    construct = target.__init__
    parameters = signature(construct).parameters

    @wraps(construct)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        _check(parameters, (self, *args), options)
        construct(self, *args, **options)

    target.__init__ = checked
    return target


def _check(parameters: Mapping[str, Parameter], args: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Raises TypeCheckError for an argument that is not of its declared type, as typeguard does."""
    from typeguard import ForwardRefPolicy, TypeCheckError, check_type

    for name, value in (*zip(parameters, args, strict=False), *options.items()):
        expected = parameters[name].annotation if name in parameters else Parameter.empty
        if expected is Parameter.empty or isinstance(expected, str):
            continue
        try:
            check_type(value, expected, forward_ref_policy=ForwardRefPolicy.IGNORE)
        except TypeCheckError as error:
            error.append_path_element(f'argument "{name}"')
            raise
