"""Files whose names hide, or are hidden by, other modules: Feast and Prefect import files as top-level modules.

`feast apply` imports each file of feature_repo/ by its bare name: beside another importable module of that name it gets
the other one, and registers nothing. Prefect puts the folder of a flow that it loads by its path first on sys.path.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from doctor.finding import Finding, error
from doctor.given import Given

OUT_OF_SIGHT = {"__init__", "__main__"}


def look_at_modules(given: Given) -> Iterator[Finding]:
    """Both folders."""
    elsewhere = [place for place in sys.path if Path(place).resolve() != (given.project / "feature_repo").resolve()]
    for name in _names(given.project / "feature_repo"):
        yield from hidden(name, _is_importable(name, elsewhere))
    ours = {path.parent.name for path in given.project.glob("*/__init__.py")}
    yield from hiding(_names(given.project / "flows"), ours)


def hidden(name: str, elsewhere: bool) -> Iterator[Finding]:
    """A file of feature_repo/ whose definitions Feast does not see."""
    if elsewhere:
        found = f"feature_repo/{name}.py has the name of another module: Feast imports that one, and registers nothing."
        yield error(f"hidden-module:{name}", found, f"Rename feature_repo/{name}.py to a name that nothing else bears.")


def hiding(names: Iterable[str], packages: set[str]) -> Iterator[Finding]:
    """A file of flows/ that takes the place of a package of ours in a run of Prefect's."""
    for name in sorted(packages.intersection(names)):
        found = f"flows/{name}.py hides the package {name}/ where Prefect loads a flow by its path."
        yield error(f"hiding-module:{name}", found, f"Rename it: git mv flows/{name}.py flows/{name}_flow.py")


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if path.stem not in OUT_OF_SIGHT)


def _is_importable(name: str, places: list[str]) -> bool:
    return name in sys.builtin_module_names or PathFinder.find_spec(name, places) is not None
