"""The secret behind the tombstones of erased entities: a keyed hash shows nothing of an id to who lacks the key.

An id alone, hashed without a key, could be found by trying all ids.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import Settings

BLOCK = 64
"""Bytes of SHA-256's block, to which HMAC pads the key."""
FORMAT, FIELD, VALUE = "asof erasure 1", "\x1e", "\x1f"
"""What is hashed: FORMAT, the use case, and for each key FIELD, its name, VALUE and its value. Ids have no controls."""


def erasure_key(settings: Settings, *, create: bool = False) -> bytes:
    """The secret of ASOF_ERASURE_KEY, or else that of a file in `home/keys`, which `create` makes where it is absent.

    Raises ConfigurationError without either.
    """
    if settings.erasure_key:
        return settings.erasure_key.get_secret_value().encode()
    path = settings.home / "keys" / "erasure.key"
    if create and not path.exists():
        _make(path)
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            "Entities were erased, and the key of their tombstones is not here: set ASOF_ERASURE_KEY to it, or copy "
            f"{path} from where `flows erase` ran."
        ) from None


def key_id(key: bytes) -> str:
    """The first 16 digits of the key's hash, by which a tombstone names its key."""
    return hashlib.sha256(b"asof erasure key" + key).hexdigest()[:16]


def digest(key: bytes, use_case: str, keys: Mapping[str, str | int]) -> bytes:
    """HMAC-SHA256 of the entity, or of all entities with these values of some of their keys."""
    fields = "".join(f"{FIELD}{name}{VALUE}{keys[name]}" for name in sorted(keys))
    return hmac.digest(key, f"{FORMAT}{FIELD}{use_case}{fields}".encode(), "sha256")


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and outer pad, with which HMAC(m) = SHA-256(outer || SHA-256(inner || m)), for PostgreSQL."""
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    return bytes(each ^ 0x36 for each in block), bytes(each ^ 0x5C for each in block)


def _make(path: Path) -> None:
    """Of several processes one creates it, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32) + "\n")
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
