"""The tags of a model and of its Bento in BentoML's stores: same input, same tags."""

import hashlib

from asof.settings import PROJECT
from asof.trust.signing_keys import TrustedKeys, public_text

BENTOFILE = PROJECT / "bentofile.yaml"


def bento_tag(model_tag: str, keys: TrustedKeys) -> str:
    """The tag of a Bento with this model, these trusted keys, and the current sources."""
    return f"{model_tag}-{_digest(public_text(keys))[:8]}"


def code_tag(name: str, keys: str) -> str:
    """The tag of a Bento without a model: the current sources, and the trusted keys as text (or empty)."""
    return f"{name}:code-{_digest(keys)[:8]}"


def _digest(keys: str) -> str:
    """SHA-256 of the keys, bentofile.yaml and every file that it includes."""
    import yaml

    patterns = yaml.safe_load(BENTOFILE.read_text())["include"]
    files = {path for pattern in patterns for path in PROJECT.glob(pattern.lstrip("/")) if path.is_file()}
    digest = hashlib.sha256(f"{keys}\n".encode())
    for path in sorted({BENTOFILE, *files}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PROJECT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
