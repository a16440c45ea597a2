"""The signed manifest of a model's folder: its run, and every file with size and SHA-256.

It is signed with Ed25519 in a DSSE envelope (Dead Simple Signing Envelope 1.0, as in-toto and sigstore use it), and is
a file of the folder itself.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from asof.errors import UnknownSigner, UntrustedModel
from asof.trust.signing_keys import TrustedKeys, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST = "asof_manifest.json"
PAYLOAD_TYPE = "application/vnd.asof.model-manifest+json"
NOT_LISTED = {MANIFEST, "registered_model_meta"}
"""The manifest itself, and what MLflow adds to each download of a registered version, which we never read."""


@dataclass(frozen=True)
class FileDigest:
    """A file's size in bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A model's run, and its files by their path in the folder."""

    run_id: str
    files: Mapping[str, FileDigest]


@dataclass(frozen=True)
class VerifiedFolder:
    """A folder whose content matched its manifest when it was verified."""

    folder: Path
    manifest: Manifest
    signed_by: str

    def of_run(self, run_id: str) -> Self:
        """Itself. Raises UntrustedModel where it was signed for another run: a good model in the wrong place."""
        if self.manifest.run_id != run_id:
            raise UntrustedModel(
                f"{self.folder} holds the model of run {self.manifest.run_id}, not of run {run_id}: register it again."
            )
        return self

    def read(self, name: str) -> bytes:
        """The content of a file, compared with the manifest again, since it may have changed.

        Raises UntrustedModel where it has, or where the manifest does not list the file.
        """
        signed = self.manifest.files.get(name)
        content = (self.folder / name).read_bytes() if signed else b""
        if signed != FileDigest(len(content), hashlib.sha256(content).hexdigest()):
            raise UntrustedModel(f"{name} in {self.folder} is not what was signed: train and register again.")
        return content


def sign_folder(folder: Path, run_id: str, key: "Ed25519PrivateKey") -> bytes:
    """The envelope with the manifest of all files in the folder."""
    manifest = Manifest(run_id, {name: _digest(path) for name, path in _files(folder)})
    payload = json.dumps(asdict(manifest), sort_keys=True).encode()
    signature = {"keyid": key_id(key.public_key()), "sig": _text(key.sign(_signed_text(payload)))}
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": _text(payload), "signatures": [signature]}
    return json.dumps(envelope).encode()


def verify_envelope(content: bytes, keys: TrustedKeys) -> tuple[Manifest, str]:
    """The manifest in an envelope, and the id of the trusted key that signed it.

    Raises UntrustedModel where no trusted key signed it, or where it is not such an envelope.
    """
    try:
        envelope = json.loads(content)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [(each["keyid"], base64.b64decode(each["sig"], validate=True)) for each in envelope["signatures"]]
    except (ValueError, KeyError, TypeError) as error:  # binascii.Error is a ValueError
        raise UntrustedModel(f"{MANIFEST} is no signed manifest: train and register again.") from error
    signers = [signer for signer, signature in signatures if _is_signed(payload, signature, keys, signer)]
    if envelope.get("payloadType") != PAYLOAD_TYPE or not signers:
        named = ", ".join(str(signer) for signer, _ in signatures) or "no key"
        raise UnknownSigner(
            f"The model is signed by {named}, but the trusted keys are {', '.join(sorted(keys))}: set "
            "ASOF_TRUSTED_KEYS, or train and register again."
        )
    return _manifest(json.loads(payload)), signers[0]


def verify_folder(folder: Path, keys: TrustedKeys) -> VerifiedFolder:
    """Verifies signature, sizes and digests, before anything in the folder is interpreted.

    Raises UntrustedModel where no trusted key signed it, where a file was changed or is absent, or where there is a
    file or a link that the manifest does not list.
    """
    manifest, signer = _signed(folder, keys)
    if wrong := _differing(folder, manifest):
        raise UntrustedModel(
            f"{folder} is not what was signed: {', '.join(wrong[:5])} changed, added or removed. "
            "Train and register again."
        )
    return VerifiedFolder(folder, manifest, signer)


def changed_files(folder: Path, keys: TrustedKeys) -> list[str]:
    """The files that are not as they were signed. Raises UntrustedModel where no trusted key signed the folder."""
    return _differing(folder, _signed(folder, keys)[0])


def _signed(folder: Path, keys: TrustedKeys) -> tuple[Manifest, str]:
    path = folder / MANIFEST
    if not path.is_file():
        raise UntrustedModel(f"{folder} has no {MANIFEST}: the model is not signed. Train and register again.")
    return verify_envelope(path.read_bytes(), keys)


def _differing(folder: Path, manifest: Manifest) -> list[str]:
    """The names of files that were changed, added or removed."""
    files = dict(_files(folder))
    wrong = sorted(files.keys() ^ manifest.files.keys())
    return wrong + [name for name, file in files.items() if name not in wrong and _digest(file) != manifest.files[name]]


def _is_signed(payload: bytes, signature: bytes, keys: TrustedKeys, signer: str) -> bool:
    from cryptography.exceptions import InvalidSignature

    if signer not in keys:
        return False
    try:
        keys[signer].verify(signature, _signed_text(payload))
    except InvalidSignature:
        return False
    return True


def _signed_text(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the type is signed with the content."""
    payload_type = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)


def _manifest(payload: Mapping[str, Any]) -> Manifest:
    """The manifest of a signed payload; even there a path must not leave the folder."""
    files = {name: FileDigest(**digest) for name, digest in payload["files"].items()}
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UntrustedModel(f"{MANIFEST} names {name!r}, which lies outside the model's folder.")
    return Manifest(payload["run_id"], files)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file to list by its path in the folder; a link is listed itself, and not followed."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in NOT_LISTED and (path.is_symlink() or not path.is_dir()):
            yield name, path


def _digest(path: Path) -> FileDigest:
    if path.is_symlink() or not path.is_file():
        return FileDigest(-1, "no plain file")
    with path.open("rb") as file:
        return FileDigest(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
