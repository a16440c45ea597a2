"""Files that a platform imports by their bare names: none has the name of another module.

`feast apply` imports each file of feature_repo/ by its bare name: beside another module of that name it gets the other
one, and registers nothing. Prefect puts the folder of a flow that it loads by its path first on sys.path.
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

from asof.settings import PROJECT


def stems(folder: str) -> set[str]:
    return {path.stem for path in (PROJECT / folder).glob("*.py")} - {"__init__", "__main__"}


def test_no_file_of_the_feature_repository_is_hidden_by_another_module() -> None:
    places = [place for place in sys.path if Path(place).resolve() != PROJECT / "feature_repo"]
    hidden = {name for name in stems("feature_repo") if PathFinder.find_spec(name, places)}
    assert hidden | (stems("feature_repo") & sys.stdlib_module_names) == set()


def test_no_flow_hides_a_package() -> None:
    assert stems("flows") & {path.parent.name for path in PROJECT.glob("*/__init__.py")} == set()
