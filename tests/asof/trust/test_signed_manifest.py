"""Signed manifests: a folder is signed, then altered in every way that we could think of."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asof.errors import UntrustedModel
from asof.trust.signed_manifest import MANIFEST, sign_folder, verify_envelope, verify_folder
from asof.trust.signing_keys import key_id

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS = {key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "model.skops").write_bytes(bytes(range(256)))
    (tmp_path / "code" / "part.bin").write_bytes(b"part")
    (tmp_path / MANIFEST).write_bytes(sign_folder(tmp_path, "run-1", KEY))
    return tmp_path


def test_a_folder_is_what_was_signed(folder: Path) -> None:
    verified = verify_folder(folder, KEYS)
    assert verified.signed_by in KEYS
    assert verified.manifest.run_id == "run-1"
    assert set(verified.manifest.files) == {"MLmodel", "model.skops", "code/part.bin"}
    assert verified.read("model.skops") == bytes(range(256))


def test_a_folder_of_another_run_is_refused(folder: Path) -> None:
    assert verify_folder(folder, KEYS).of_run("run-1").manifest.run_id == "run-1"
    with pytest.raises(UntrustedModel, match="the model of run run-1, not of run run-2"):
        verify_folder(folder, KEYS).of_run("run-2")


def test_what_mlflow_adds_to_a_copy_is_no_part_of_the_model(folder: Path) -> None:
    (folder / "registered_model_meta").write_text("model_name: churn")
    assert "registered_model_meta" not in verify_folder(folder, KEYS).manifest.files
    with pytest.raises(UntrustedModel, match="registered_model_meta"):
        verify_folder(folder, KEYS).read("registered_model_meta")


def flip(folder: Path) -> None:
    content = bytearray((folder / "model.skops").read_bytes())
    content[100] ^= 1
    (folder / "model.skops").write_bytes(content)


def swap(folder: Path) -> None:
    (folder / "MLmodel").rename(folder / "between")
    (folder / "code" / "part.bin").rename(folder / "MLmodel")
    (folder / "between").rename(folder / "code" / "part.bin")


def link(folder: Path) -> None:
    """The same bytes, but the owner of the link's target may change them later."""
    outside = folder.parent / "outside"
    outside.write_bytes((folder / "model.skops").read_bytes())
    (folder / "model.skops").unlink()
    (folder / "model.skops").symlink_to(outside)


def link_folder(folder: Path) -> None:
    (folder / "more").symlink_to(folder.parent)


ALTERATIONS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "two files swapped": swap,
    "a byte more": lambda folder: (folder / "model.skops").write_bytes(bytes(range(256)) + b"x"),
    "a byte less": lambda folder: (folder / "model.skops").write_bytes(bytes(range(255))),
    "a file gone": lambda folder: (folder / "code" / "part.bin").unlink(),
    "a file more": lambda folder: (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR."),
    "a file more below": lambda folder: (folder / "code" / "sitecustomize.py").write_text(""),
    "a link in place of a file": link,
    "a link to a folder": link_folder,
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_folder_is_refused(folder: Path, name: str) -> None:
    ALTERATIONS[name](folder)
    with pytest.raises(UntrustedModel, match="is not what was signed"):
        verify_folder(folder, KEYS)


def test_a_file_that_changes_after_the_look_is_not_read(folder: Path) -> None:
    verified = verify_folder(folder, KEYS)
    flip(folder)
    with pytest.raises(UntrustedModel, match=r"model\.skops"):
        verified.read("model.skops")


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(UntrustedModel, match="is not signed"):
        verify_folder(folder, KEYS)


def test_an_untrusted_signature_is_refused_under_any_key_id(folder: Path) -> None:
    envelope = json.loads(sign_folder(folder, "run-1", STRANGER))
    for signer in (key_id(STRANGER.public_key()), *KEYS):
        envelope["signatures"][0]["keyid"] = signer
        with pytest.raises(UntrustedModel, match=r"is signed by .*, but the trusted keys are"):
            verify_envelope(json.dumps(envelope).encode(), KEYS)


def test_one_trusted_signature_among_others_is_enough(folder: Path) -> None:
    """While keys are rotated, a model may be signed with both."""
    ours, theirs = (json.loads(sign_folder(folder, "run-1", key)) for key in (KEY, STRANGER))
    both = ours | {"signatures": theirs["signatures"] + ours["signatures"]}
    assert verify_envelope(json.dumps(both).encode(), KEYS)[1] in KEYS


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"payload": 1, "signatures": 2}', b"\xff\xfe", b"null"])
def test_what_is_no_envelope_is_refused(content: bytes) -> None:
    with pytest.raises(UntrustedModel, match="no signed manifest"):
        verify_envelope(content, KEYS)


def test_another_payload_or_another_type_under_a_good_signature_is_refused(folder: Path) -> None:
    envelope = json.loads((folder / MANIFEST).read_bytes())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["run_id"] = "run-2"
    changed = base64.b64encode(json.dumps(payload).encode()).decode()
    for other in ({"payload": changed}, {"payloadType": "text/plain"}, {"signatures": []}):
        with pytest.raises(UntrustedModel, match="is signed by"):
            verify_envelope(json.dumps(envelope | other).encode(), KEYS)


def test_the_type_is_signed_with_the_content(folder: Path) -> None:
    """A signature over the bare payload, as another program might give it with the same key, is none of ours."""
    envelope = json.loads((folder / MANIFEST).read_bytes())
    bare = KEY.sign(base64.b64decode(envelope["payload"]))
    envelope["signatures"][0]["sig"] = base64.b64encode(bare).decode()
    with pytest.raises(UntrustedModel):
        verify_envelope(json.dumps(envelope).encode(), KEYS)
