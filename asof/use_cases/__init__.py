"""The prediction problems, one folder each; `load` finds one by the folder's name."""

import importlib
import pkgutil
import traceback
from pathlib import Path

from asof.errors import ConfigurationError
from asof.use_case import UseCase


def names() -> list[str]:
    """The use cases that this checkout or Bento holds."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def load(name: str) -> UseCase:
    """The use case of that name.

    Raises ConfigurationError, naming those that exist; or, where its folder does not import, the file and the error.
    """
    if name not in names():
        raise ConfigurationError(f"There is no use case {name!r}; there are: {', '.join(names())}.")
    try:
        found = importlib.import_module(f"{__name__}.{name}")
    except (Exception, SystemExit) as error:  # whatever its author wrote there
        raise ConfigurationError(
            f"Use case {name!r} does not import: {_place(error, name)}: {_said(error)}. Correct that file, or move its "
            "folder out of asof/use_cases."
        ) from error
    use_case = getattr(found, "USE_CASE", None)
    if not isinstance(use_case, UseCase):
        raise ConfigurationError(
            f"Use case {name!r} has no UseCase named USE_CASE: define it in {_shown(Path(found.__file__ or name))}."
        )
    return use_case


def _place(error: BaseException, name: str) -> str:
    """The file and line of a use case that the error comes from, or at least the folder."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename))}:{error.lineno}"
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [(file, line) for file, line in files if file != Path(__file__) and any(map(file.is_relative_to, __path__))]
    return f"{_shown(ours[-1][0])}:{ours[-1][1]}" if ours else str(_shown(Path(__path__[0], name)))


def _shown(path: Path) -> Path:
    """From the project's folder on."""
    above = Path(__path__[0]).parents[1]
    return path.relative_to(above) if path.is_relative_to(above) else path


def _said(error: BaseException) -> str:
    """The kind of error and its first line, unless that holds an address, which may hold a password."""
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {line}" if line and "://" not in line else type(error).__name__
