"""The files of feature_repo/ -> Feast's definitions in them, as Feast reads them; and the files that do not import.

A file that does not import takes only its own definitions away: the use cases of the other files work on.
"""

import contextlib
import importlib
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from asof.errors import ConfigurationError
from asof.features.feast.imports import import_feast
from asof.features.feature_store import quiet
from asof.features.feature_support import require_readable, require_takeable

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

KINDS = {
    "entity": ("entities",),
    "feature view": ("feature_views", "on_demand_feature_views", "stream_feature_views"),
    "feature service": ("feature_services",),
    "data source": ("data_sources",),
}
"""What has a name of its own in the project: the lists of Feast's RepoContents that hold it."""


@dataclass(frozen=True)
class Definitions:
    """The checked definitions; `broken` has a sentence for each file that does not import, by its name."""

    contents: "RepoContents"
    broken: Mapping[str, str]

    def require(self, services: Sequence[str]) -> None:
        """Raises ConfigurationError where one of these services is absent and a file is broken."""
        defined = {service.name for service in self.contents.feature_services}
        absent = [name for name in services if name not in defined]
        if absent and self.broken:
            raise ConfigurationError(f"{' '.join(self.broken.values())} So {', '.join(absent)} is not defined.")


@contextlib.contextmanager
def read_definitions(repository: Path) -> Iterator[Definitions]:
    """The definitions in a folder. During the block it is the working directory.

    Raises ConfigurationError for a view or service that AsOf does not support, and for a name that stands for two
    definitions, with their files.
    """
    import_feast()
    from feast.repo_operations import get_repo_files, parse_repo

    with contextlib.chdir(repository), _importable(str(repository)), quiet(), TemporaryDirectory() as folder:
        files = get_repo_files(repository)
        broken = {file.name: found for file in files if (found := _import_error(file, repository))}
        good = [file for file in files if file.name not in broken]
        for file in good:  # Feast follows the links; it has no other way to leave a file out
            link = Path(folder, file.relative_to(repository.resolve()))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        contents = parse_repo(Path(folder))
        _require_distinct(contents, {file.name: _module(file, repository) for file in good})
        require_readable(contents.feature_views)
        views = [*contents.feature_views, *contents.on_demand_feature_views, *contents.stream_feature_views]
        for service in contents.feature_services:
            require_takeable(service, {view.name: view for view in views})
        yield Definitions(contents, broken)


def _module(file: Path, repository: Path) -> Any:
    return importlib.import_module(".".join(file.relative_to(repository.resolve()).with_suffix("").parts))


def _import_error(file: Path, repository: Path) -> str:
    """A sentence with place and error; empty where the file imports."""
    try:
        _module(file, repository)
    except (Exception, SystemExit) as error:  # the file's code may raise anything
        return f"feature_repo/{file.name} does not import: {_place(error, repository)}{_summary(error)}. Correct it."
    return ""


def _place(error: BaseException, repository: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}: "
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).parent == repository]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def _summary(error: BaseException) -> str:
    """The error's type and first line, which is left out where it has a URL and so perhaps a password."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = next(iter(text.splitlines()), "")
    return f"{type(error).__name__}: {line}" if line and "://" not in line else type(error).__name__


def _require_distinct(contents: "RepoContents", modules: Mapping[str, Any]) -> None:
    """Raises ConfigurationError where two different definitions of one kind have one name, as Feast compares names."""
    for kind, lists in KINDS.items():
        named = defaultdict(list)
        for each in (each for name in lists for each in getattr(contents, name)):
            named[each.name.lower()].append(each)
        for first, *others in named.values():
            if other := next((each for each in others if each != first), None):
                places = sorted({_definer(each, modules) for each in (first, other)})
                raise ConfigurationError(
                    f"{' and '.join(places)} define{'s' if len(places) == 1 else ''} two different "
                    f"{'entities' if kind == 'entity' else f'{kind}s'} named {first.name!r}: rename one of them."
                )


def _definer(definition: Any, modules: Mapping[str, Any]) -> str:
    """The file that assigns it to a name, or a view on it; other files import it."""
    for file, module in modules.items():
        text = Path(module.__file__).read_text(encoding="utf-8")
        for name, each in vars(module).items():
            is_it = each is definition or getattr(each, "batch_source", None) is definition
            if is_it and re.search(rf"^{re.escape(name)}\s*[:=]", text, re.MULTILINE):
                return f"feature_repo/{file}"
    return "feature_repo/"


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
