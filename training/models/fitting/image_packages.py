"""A model's skops file -> the packages that loading it needs and that the service's image lacks.

The image has what requirements/serve.txt lists. A compiled model needs none of them.
"""

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from typing import Any

from asof.settings import PROJECT

LOCK = PROJECT / "requirements" / "serve.txt"
ALWAYS = {"asof", "sklearn", "numpy", "scipy", *sys.stdlib_module_names}
"""What every image has: our own code, and what the runtime of scikit-learn needs."""


def packages_not_in_image(skops_file: bytes) -> list[str]:
    """The names of these packages, sorted; a module of no package has its own name."""
    with zipfile.ZipFile(io.BytesIO(skops_file)) as archive:
        modules = set(_modules(json.loads(archive.read("schema.json")))) - ALWAYS
    if not modules:
        return []
    packages = packages_distributions()  # reads the metadata of all that is installed
    names = {name for module in modules for name in packages.get(module, [module])}
    return sorted(names - _locked())


def _modules(part: Any) -> Iterator[str]:
    """The first part of the module of each type in a node of the schema."""
    if isinstance(part, list):
        for each in part:
            yield from _modules(each)
    elif isinstance(part, dict):
        if isinstance(module := part.get("__module__"), str):
            yield module.partition(".")[0]
        yield from _modules(list(part.values()))


def _locked() -> set[str]:
    """The names in the image's lock, which has them in lower case with hyphens, as package indices do."""
    return set(re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
