"""The format of a file of API keys, which has their hashes only.

One key a line: name, scopes separated by commas, the key's SHA-256 in hexadecimal digits and, where it expires, its
last valid day or the first moment (ISO 8601) at which it is invalid, both in UTC. `#` begins a comment.

    crm        predict        9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  2027-01-31
    dashboard  predict,admin  60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752

A key has 256 random bits. Slow hashes (bcrypt, Argon2) protect guessable passwords; random keys cannot be guessed, so
one round of SHA-256 is as safe and takes a microsecond per request (NIST SP 800-63B, 5.1.1.2 and 5.1.2.2: look-up
secrets of 112 bits and more need no more than an approved hash).
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
"""Lets secret scanners recognise a key in files and logs."""
NAME, DIGEST = re.compile(r"[A-Za-z0-9._-]{1,64}"), re.compile(r"[0-9a-f]{64}")
MOMENT = re.compile(r"[0-9A-Z:.+-]+")
"""One word: Python accepts any character between day and time, a space and `#` too."""


@dataclass(frozen=True)
class ApiKey:
    """One line of the file: `expires` as written there, `ends` the first moment at which the key is invalid."""

    name: str
    scopes: frozenset[str]
    sha256: str
    expires: str | None = None
    ends: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.ends is not None and now >= self.ends


def new_key() -> str:
    """A new key: PREFIX and 256 random bits in base64."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: bytes) -> str:
    """The SHA-256 of a key in hexadecimal digits."""
    return hashlib.sha256(key).hexdigest()


def find(key: bytes, keys: Iterable[ApiKey]) -> ApiKey | None:
    """The entry of a key. All hashes are compared, each in constant time, so that the duration reveals nothing."""
    sha256 = digest(key)
    matches = [each for each in keys if hmac.compare_digest(sha256, each.sha256)]
    return matches[0] if matches else None


def parse(content: bytes) -> tuple[ApiKey, ...]:
    """The keys of a file; none where it has comments only.

    Raises ConfigurationError with the line's number but not its text, which may be the key itself. An empty file is an
    error, too: it is being written.
    """
    if not content.strip():
        raise ConfigurationError("it is empty")
    try:
        lines = [line.partition("#")[0].split() for line in content.decode().splitlines()]
    except UnicodeDecodeError:
        raise ConfigurationError("it is not text in UTF-8") from None
    keys = tuple(_key(fields, f"line {number}") for number, fields in enumerate(lines, 1) if fields)
    for what, values in (("name", {key.name for key in keys}), ("SHA-256", {key.sha256 for key in keys})):
        if len(values) < len(keys):
            raise ConfigurationError(f"a {what} occurs twice")
    return keys


def line_of(key: ApiKey) -> str:
    """The key's line, without a line break."""
    return "  ".join(filter(None, (key.name, ",".join(sorted(key.scopes)), key.sha256, key.expires)))


def entry_of(name: str, scopes: Iterable[str], key: str, expires: str | None = None) -> ApiKey:
    """The entry of a new key. Raises ConfigurationError where a part is invalid."""
    return _key([name, ",".join(scopes), digest(key.encode()), *([expires] if expires else [])], "The new key")


def _key(fields: list[str], where: str) -> ApiKey:
    if len(fields) not in (3, 4):
        parts = "a name, scopes, a SHA-256 and optionally a last day"
        raise ConfigurationError(f"{where} has {len(fields)} words, but needs {parts}")
    name, scopes, sha256 = fields[0], frozenset(fields[1].split(",")), fields[2].lower()
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: a name is 1 to 64 letters, digits, dots, dashes and underscores")
    if not scopes <= SCOPES:
        raise ConfigurationError(f"{where}: scopes are {', '.join(sorted(SCOPES))}; separate several by a comma")
    if not DIGEST.fullmatch(sha256):
        raise ConfigurationError(f"{where}: a SHA-256 is 64 hexadecimal digits")
    expires = fields[3] if len(fields) == 4 else None
    return ApiKey(name, scopes, sha256, expires, _end(expires, where) if expires else None)


def _end(text: str, where: str) -> datetime:
    with suppress(ValueError):
        return _day_after(date.fromisoformat(text))
    with suppress(ValueError):
        if MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise ConfigurationError(f"{where}: a key expires on a day like 2027-01-31 or at a moment like 2027-01-31T10:00Z")


def _day_after(day: date) -> datetime:
    try:
        return datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    except OverflowError:  # 9999-12-31
        return datetime.max.replace(tzinfo=UTC)
