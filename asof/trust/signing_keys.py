"""The Ed25519 key that signs models, and the public keys whose signatures are trusted.

The machine that trains has the private key. Building and serving need the public keys only, in ASOF_TRUSTED_KEYS or in
the Bento that was built with them; they never come from a model's own folder.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asof.errors import ConfigurationError
from asof.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TrustedKeys = Mapping[str, "Ed25519PublicKey"]
"""Public keys by their id."""


def signing_key(settings: Settings) -> "Ed25519PrivateKey":
    """The key of ASOF_SIGNING_KEY or ASOF_SIGNING_KEY_TEXT, or else one in `home/keys`, created if needed.

    Raises ConfigurationError where both are set, the file is absent, or it is no unencrypted Ed25519 key in PEM.
    """
    if settings.signing_key and settings.signing_key_text:
        raise ConfigurationError("ASOF_SIGNING_KEY and ASOF_SIGNING_KEY_TEXT are both set: unset one of them.")
    if settings.signing_key_text:
        return _of_text(settings.signing_key_text.get_secret_value())
    if settings.signing_key:
        return _read(settings.signing_key)
    own = _own_file(settings)
    _make(own)
    return _read(own)


def trusted_keys(settings: Settings, of_bento: str = "") -> TrustedKeys:
    """The keys of ASOF_TRUSTED_KEYS, or else those of the Bento, or else that of our own signing key.

    Raises ConfigurationError where there is none, or one is no Ed25519 key.
    """
    if keys := settings.trusted_keys or of_bento:
        return dict(map(_parse, filter(None, map(str.strip, keys.split(",")))))
    if not (settings.signing_key or settings.signing_key_text or _own_file(settings).is_file()):
        raise ConfigurationError(
            "No key is trusted to sign models: set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints where "
            "models are trained."
        )
    key = signing_key(settings).public_key()
    return {key_id(key): key}


def public_text(keys: TrustedKeys) -> str:
    """The value of ASOF_TRUSTED_KEYS: base64 of the 32 bytes of each key, separated by commas."""
    return ",".join(base64.b64encode(key.public_bytes_raw()).decode() for _, key in sorted(keys.items()))


def key_id(key: "Ed25519PublicKey") -> str:
    """The id of a key in signatures: the first 16 digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def new_pem() -> bytes:
    """A new private key in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _own_file(settings: Settings) -> Path:
    return settings.home / "keys" / "signing.pem"


def _make(path: Path) -> None:
    """Creates a key that only we can read, unless there is one. Of several processes one creates it, atomically."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(new_pem())
    try:
        path.hardlink_to(draft)
    except FileExistsError:  # another process was faster: its key is used
        pass
    finally:
        draft.unlink()


def _read(path: Path) -> "Ed25519PrivateKey":
    try:
        return _private(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"The signing key {path} cannot be read: {error}.") from error


def _of_text(text: str) -> "Ed25519PrivateKey":
    try:
        pem = base64.b64decode(text, validate=True)
    except ValueError:
        raise ConfigurationError("ASOF_SIGNING_KEY_TEXT is not base64: `base64 -w0 key.pem` prints it.") from None
    return _private(pem, "ASOF_SIGNING_KEY_TEXT")


def _private(pem: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"The signing key {where} cannot be read: {error}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{where} is not an Ed25519 key: create one by `openssl genpkey -algorithm ed25519`.")
    return key


def _parse(text: str) -> "tuple[str, Ed25519PublicKey]":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:  # not quoted: it may be the private key
        raise ConfigurationError(
            "ASOF_TRUSTED_KEYS has a value that is no public Ed25519 key in base64. `python -m flows keys` prints ours."
        ) from None
    return key_id(key), key
