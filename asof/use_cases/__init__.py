"""The prediction problems, one folder each; `load` finds one by the folder's name."""

import importlib
import pkgutil

from asof.errors import ConfigurationError
from asof.use_case import UseCase


def names() -> list[str]:
    """The use cases that this checkout or Bento holds."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def load(name: str) -> UseCase:
    """The use case of that name. Raises ConfigurationError, naming those that exist."""
    if name not in names():
        raise ConfigurationError(f"There is no use case {name!r}; there are: {', '.join(names())}.")
    use_case: UseCase = importlib.import_module(f"{__name__}.{name}").USE_CASE
    return use_case
