"""Settings -> the Ed25519 key that signs models, and the public keys whose signatures count.

Who signs has the private key: the machine that trains. Who builds or serves needs the public keys only: in
ASOF_TRUSTED_KEYS, or else in the Bento, which was built with them. They never come from a model's own folder.
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
    """The key of ASOF_SIGNING_KEY or ASOF_SIGNING_KEY_TEXT; where neither is set, one in `home/keys`.

    The latter is made when it is first asked for.

    Raises ConfigurationError where both are told, the file is absent, or it is no unencrypted Ed25519 key in PEM.
    """
    if told := _told(settings):
        return told
    own = _own_file(settings)
    _make(own)
    return _read(own)


def trusted_keys(settings: Settings, of_bento: str = "") -> TrustedKeys:
    """The keys of ASOF_TRUSTED_KEYS, or else those that the Bento was built with, or else our own signing key's.

    Raises ConfigurationError where there is none, or one that is no Ed25519 key.
    """
    if told := settings.trusted_keys or of_bento:
        return dict(map(_parse, filter(None, (each.strip() for each in told.split(",")))))
    if not (settings.signing_key or settings.signing_key_text or _own_file(settings).is_file()):
        raise ConfigurationError(
            "No key is trusted to sign models: set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints where "
            "models are trained."
        )
    key = signing_key(settings).public_key()
    return {key_id(key): key}


def public_text(keys: TrustedKeys) -> str:
    """Keys as ASOF_TRUSTED_KEYS takes them: base64 of the 32 bytes of each, with commas between."""
    return ",".join(base64.b64encode(key.public_bytes_raw()).decode() for _, key in sorted(keys.items()))


def key_id(key: "Ed25519PublicKey") -> str:
    """The name of a key in signatures: the first 16 digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def new_pem() -> bytes:
    """A new key, as the file of one holds it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _told(settings: Settings) -> "Ed25519PrivateKey | None":
    """The key in the file ASOF_SIGNING_KEY or in the text ASOF_SIGNING_KEY_TEXT, if one of them is set."""
    if settings.signing_key and settings.signing_key_text:
        raise ConfigurationError("ASOF_SIGNING_KEY and ASOF_SIGNING_KEY_TEXT are both set: unset one of them.")
    if settings.signing_key:
        return _read(settings.signing_key)
    return _of_text(settings.signing_key_text.get_secret_value()) if settings.signing_key_text else None


def _own_file(settings: Settings) -> Path:
    return settings.home / "keys" / "signing.pem"


def _make(path: Path) -> None:
    """A new key that only we can read. Of several processes at once one makes it, whole or not at all."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(new_pem())
    try:
        path.hardlink_to(draft)
    except FileExistsError:  # another process was quicker: its key counts
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
        raise ConfigurationError(
            f"{where} holds another kind of key: make one by `openssl genpkey -algorithm ed25519`."
        )
    return key


def _parse(text: str) -> "tuple[str, Ed25519PublicKey]":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:  # not quoted: somebody may have put the private key there
        raise ConfigurationError(
            "ASOF_TRUSTED_KEYS holds what is no public Ed25519 key in base64: `python -m flows keys` prints ours."
        ) from None
    return key_id(key), key
