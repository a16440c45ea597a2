"""Who may see a page: the API keys of the prediction service, or everybody where none are set.

A browser sends the key in a cookie that no script can read and no other site can use, so the console keeps no session.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from asof.serving.access.api_keys import find
from asof.serving.access.key_file import KeyFile
from asof.serving.access.scopes import SCOPES
from asof.settings import Settings

COOKIE = "asof_console_key"
SCHEME = "bearer "


@dataclass(frozen=True)
class Visitor:
    """Whoever asks for a page: the name of the key (None: no keys are set), its scopes, and the key itself."""

    name: str | None
    scopes: frozenset[str]
    key: str | None = None


ANYBODY = Visitor(None, SCOPES)


class Access:
    """Raises ConfigurationError where the file of keys cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self._keys = KeyFile(settings.api_keys) if settings.api_keys else None

    @property
    def has_keys(self) -> bool:
        return self._keys is not None

    def visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        """By the header `Authorization: Bearer KEY`, else by the cookie; None without a valid key."""
        if self._keys is None:
            return ANYBODY
        given = headers.get("authorization", "")
        return self.holder(given[len(SCHEME) :].strip() if given.lower().startswith(SCHEME) else _cookie(headers))

    def holder(self, key: str) -> Visitor | None:
        """The holder of a key; None where it is unknown or has expired."""
        entry = find(key.encode(), self._keys.keys) if self._keys and key else None
        if entry is None or entry.has_expired(datetime.now(UTC)):
            return None
        return Visitor(entry.name, entry.scopes, key)

    def is_own_host(self, host: str) -> bool:
        """Whether a page may be shown under this name.

        Without keys only an address and `localhost` may: another name may be an attacker's that resolves to us, whose
        scripts could then read every page (DNS rebinding).
        """
        name = urlsplit(f"//{host}").hostname or ""
        return self.has_keys or name == "localhost" or _is_address(name)


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a form was sent by a page of ours; browsers say so for every form."""
    site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
    return site in ("same-origin", "none") and (origin is None or urlsplit(origin).netloc == headers.get("host"))


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
