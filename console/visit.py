"""Page: what the navigation lists; Visit: one request for a page of a use case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asof.settings import Settings
from asof.use_case import UseCase
from console.access import Visitor

Context = Mapping[str, Any]
"""What the page's template is rendered with."""


@dataclass(frozen=True)
class Visit:
    """`form` has the fields of a posted form, None where the page is only read; `rest` what follows the page's path."""

    settings: Settings
    use_case: UseCase
    visitor: Visitor
    form: Mapping[str, str] | None = None
    rest: str = ""


@dataclass(frozen=True)
class Page:
    """`/{use case}/{name}`, for keys with `scope`; `view` makes what templates/{name}.html shows."""

    name: str
    title: str
    scope: str
    view: Callable[[Visit], Context]
