"""The prediction problems, one folder each; `load` finds one by the folder's name."""

import importlib
import pkgutil
import traceback
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from asof.errors import ConfigurationError
from asof.extracts.schema import Kind
from asof.features.entity_key import PAYLOADS
from asof.settings import Settings
from asof.use_case import FromStore, UseCase

PAYLOAD_NAMES = {Kind.TEXT: "EntityKey", Kind.INTEGER: "IntegerKey", Kind.UUID: "UuidKey"}


def names() -> list[str]:
    """The use cases of this checkout or Bento."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def check_name(name: str) -> str:
    """The name. Raises ConfigurationError, listing those that exist, where no use case bears it."""
    if name not in names():
        raise ConfigurationError(
            f"There is no use case {name!r}; there are: {', '.join(names())}. "
            "To add a folder to asof/use_cases, see docs/models/adding-a-use-case.md."
        )
    return name


def default_name(*, from_store: bool = False) -> str:
    """The use case of ASOF_USE_CASE, or else the only one; `from_store`: the only one with features of the store.

    Raises ConfigurationError, naming those that qualify, where there is not exactly one.
    """
    if named := Settings().use_case:
        return check_name(named)
    candidates = [name for name in names() if not from_store or _may_use_store(name)]
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(candidates or names())
    raise ConfigurationError(f"Which use case? Name one as a command's first argument, or in ASOF_USE_CASE: {listed}.")


def _may_use_store(name: str) -> bool:
    """Whether its features come from the store, or its folder cannot be imported to see."""
    try:
        return isinstance(_import(name).source, FromStore)
    except ConfigurationError:
        return True


def load(name: str) -> UseCase:
    """The use case in the folder `name`.

    Raises ConfigurationError where there is none; where its folder cannot be imported, with file and error; where it
    is named differently; where its request does not name its entity; and where it shares a raw table or a registered
    model with another use case here, since each would take the other's rows or versions for its own.
    """
    use_case = _import(check_name(name))
    if use_case.name != name:
        raise ConfigurationError(
            f"The use case in asof/use_cases/{name} is named {use_case.name!r}: set name={name!r} in its __init__.py."
        )
    _require_keys(use_case)
    for other in others(name):
        refuse_shared(use_case, other)
    return use_case


def load_all() -> tuple[list[UseCase], dict[str, str]]:
    """The use cases that load, by name; and for each other its name and what `load` says."""
    loaded, broken = [], {}
    for name in names():
        try:
            loaded.append(load(name))
        except ConfigurationError as error:
            broken[name] = str(error)
    return loaded, broken


def refuse_shared(one: UseCase, other: UseCase) -> None:
    """Raises ConfigurationError where two use cases have a raw table or a registered model in common."""
    if shared := raw_tables(one) & raw_tables(other):
        raise ConfigurationError(
            f"Use cases {one.name!r} and {other.name!r} both have the raw table {', '.join(sorted(shared))}: rename "
            "those of one of them in its raw_schema.py (a table's file is NAME.csv)."
        )
    if one.model_name == other.model_name:
        raise ConfigurationError(
            f"Use cases {one.name!r} and {other.name!r} both have the registered model {one.model_name!r}: set another "
            "model_name in the __init__.py of one of them."
        )


def others(name: str) -> Iterator[UseCase]:
    """The other use cases here, without those that cannot be imported: their own commands report why."""
    for other in names():
        if other != name:
            try:
                use_case = _import(other)
            except ConfigurationError:
                continue
            yield use_case


def raw_tables(use_case: UseCase) -> set[str]:
    """The names of its raw tables, the labels' included; none where its features come in the request."""
    if not isinstance(use_case.source, FromStore):
        return set()
    extract = use_case.source.extract
    return {table.name for table in (*extract.tables, extract.labels)}


def _import(name: str) -> UseCase:
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except (Exception, SystemExit) as error:  # the folder's code may raise anything
        raise ConfigurationError(
            f"Use case {name!r} does not import: {_location(error, name)}: {_summary(error)}. Correct that file, or "
            "move its folder out of asof/use_cases."
        ) from error
    use_case = getattr(module, "USE_CASE", None)
    if not isinstance(use_case, UseCase):
        raise ConfigurationError(
            f"Use case {name!r} has no UseCase named USE_CASE: define it in {_relative(Path(module.__file__ or name))}."
        )
    return use_case


def _require_keys(use_case: UseCase) -> None:
    """Raises ConfigurationError where the request lacks a key of the extract, or has it of another type."""
    if not isinstance(use_case.source, FromStore):
        return
    members = use_case.request.model_json_schema().get("properties", {})
    for key in use_case.source.extract.key_columns:
        expected = TypeAdapter(PAYLOADS[key.kind]).json_schema()
        shown = members.get(key.name, {})
        if any(shown.get(name) != each for name, each in expected.items()):
            raise ConfigurationError(
                f"Use case {use_case.name!r} is keyed by {key.name} ({key.kind}): its request needs the member "
                f"{key.name}: {PAYLOAD_NAMES[key.kind]}, a type of asof/features/entity_key.py."
            )


def _location(error: BaseException, name: str) -> str:
    """The file and line of a use case that raised the error, or at least its folder."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(Path(error.filename))}:{error.lineno}"
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [(file, line) for file, line in frames if file != Path(__file__) and any(map(file.is_relative_to, __path__))]
    return f"{_relative(ours[-1][0])}:{ours[-1][1]}" if ours else str(_relative(Path(__path__[0], name)))


def _relative(path: Path) -> Path:
    """The path in the project's folder."""
    project = Path(__path__[0]).parents[1]
    return path.relative_to(project) if path.is_relative_to(project) else path


def _summary(error: BaseException) -> str:
    """The error's type and first line, which is left out where it has a URL and so perhaps a password."""
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {line}" if line and "://" not in line else type(error).__name__
