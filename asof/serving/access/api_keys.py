"""The text of a file of API keys <-> the keys in it, each known by its hash alone.

One key a line: name, scopes with commas between, SHA-256 of the key in hexadecimal digits and, where it ends, the last
day on which it counts or the moment (ISO 8601) from which it does not, both in UTC. `#` begins a comment.

    crm        predict        9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  2027-01-31
    dashboard  predict,admin  60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752

A key is 256 random bits. A slow hash (bcrypt, Argon2) makes it dear to try every password that people choose; nobody
can try 2^256 keys, at whatever price, so one round of SHA-256 keeps them as well, and costs a request a microsecond
(NIST SP 800-63B, 5.1.1.2 and 5.1.2.2: look-up secrets of 112 bits and more need no more than an approved hash).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from asof.errors import ConfigurationError
from asof.serving.access.scopes import SCOPES

PREFIX = "asof_"
"""So that whoever looks for secrets in files and logs knows one."""
NAME, DIGEST = re.compile(r"[A-Za-z0-9._-]{1,64}"), re.compile(r"[0-9a-f]{64}")
FIELDS = "a name, scopes, a SHA-256 and perhaps a last day"
MOMENT = re.compile(r"[0-9A-Z:.+-]+")
"""One word of the file: Python takes any character between day and time, a space and `#` too."""


@dataclass(frozen=True)
class ApiKey:
    """One line of the file; `expires` as it stands there, `ends`: the first moment at which the key does not count."""

    name: str
    scopes: frozenset[str]
    sha256: str
    expires: str | None = None
    ends: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.ends is not None and now >= self.ends


def new_key() -> str:
    """The text of a new key: 256 random bits in base64, after PREFIX."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: bytes) -> str:
    """What the file holds of a key."""
    return hashlib.sha256(key).hexdigest()


def find(key: bytes, keys: Iterable[ApiKey]) -> ApiKey | None:
    """The one whose hash this is. Every hash is compared, each in constant time: how long it takes tells nothing."""
    told, found = digest(key), None
    for each in keys:
        if hmac.compare_digest(told, each.sha256):
            found = each
    return found


def parse(content: bytes) -> tuple[ApiKey, ...]:
    """The keys in a file; none where it holds comments only.

    Raises ConfigurationError with the line, never with what stands there: somebody may have put the key itself there. A
    file of no byte is an error, too: it is one that is being written.
    """
    if not content.strip():
        raise ConfigurationError("it is empty")
    try:
        lines = [line.partition("#")[0].split() for line in content.decode().splitlines()]
    except UnicodeDecodeError:
        raise ConfigurationError("it is no text in UTF-8") from None
    keys = tuple(_key(fields, f"line {number}") for number, fields in enumerate(lines, 1) if fields)
    for what, values in (("name", [key.name for key in keys]), ("SHA-256", [key.sha256 for key in keys])):
        if len(set(values)) < len(values):
            raise ConfigurationError(f"a {what} stands there twice")
    return keys


def line_of(key: ApiKey) -> str:
    """The key's line, without its end."""
    return "  ".join(filter(None, (key.name, ",".join(sorted(key.scopes)), key.sha256, key.expires)))


def made(name: str, scopes: Iterable[str], key: str, expires: str | None = None) -> ApiKey:
    """The line for a new key. Raises ConfigurationError where a part of it cannot be."""
    return _key([name, ",".join(scopes), digest(key.encode()), *([expires] if expires else [])], "The new key")


def _key(fields: list[str], where: str) -> ApiKey:
    if len(fields) not in (3, 4):
        raise ConfigurationError(f"{where} has {len(fields)} words: it takes {FIELDS}")
    name, scopes, sha256 = fields[0], frozenset(fields[1].split(",")), fields[2].lower()
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: a name is 1 to 64 letters, digits, dots, dashes and underscores")
    if not scopes <= SCOPES:
        raise ConfigurationError(f"{where}: scopes are {' and '.join(sorted(SCOPES))}, with a comma between")
    if not DIGEST.fullmatch(sha256):
        raise ConfigurationError(f"{where}: a SHA-256 is 64 hexadecimal digits")
    expires = fields[3] if len(fields) == 4 else None
    return ApiKey(name, scopes, sha256, expires, _end(expires, where) if expires else None)


def _end(text: str, where: str) -> datetime:
    with suppress(ValueError):
        return _after(date.fromisoformat(text))
    with suppress(ValueError):
        if MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise ConfigurationError(f"{where}: a key ends on a day like 2027-01-31 or at a moment like 2027-01-31T10:00Z")


def _after(day: date) -> datetime:
    """The first moment after a day; the last one of all has none."""
    try:
        return datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
