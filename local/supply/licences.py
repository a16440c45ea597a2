"""A bill of materials -> the licence of each package, and which of them somebody should look at."""

import re
from dataclasses import dataclass
from typing import Any

COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|CDDL|EUPL|OSL|SSPL)|General Public|Mozilla Public", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """`flag` is `copyleft`, `unknown` or empty; copyleft means conditions on whoever passes the package on."""

    package: str
    version: str
    licence: str
    flag: str


def licences(bom: dict[str, Any]) -> tuple[Licence, ...]:
    """In the order of names."""
    found = (_licence(each) for each in bom["components"])
    return tuple(sorted(found, key=lambda each: each.package.lower()))


def _licence(component: dict[str, Any]) -> Licence:
    told = " AND ".join(dict.fromkeys(filter(None, map(_text, component.get("licenses", ())))))
    flag = "copyleft" if COPYLEFT.search(told) else "" if told else "unknown"
    return Licence(component["name"], component["version"], told or "unknown", flag)


def _text(choice: dict[str, Any]) -> str:
    """An expression of SPDX, an identifier, or the first line of whatever the package calls its licence."""
    licence = choice.get("license", {})
    text: str = choice.get("expression") or licence.get("id") or licence.get("name") or ""
    return text.removeprefix("License :: OSI Approved :: ").strip().partition("\n")[0]
