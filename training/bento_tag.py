"""A version or a run -> the tags that its model and its Bento have in BentoML's stores: same input, same tags."""

import hashlib

from asof.settings import PROJECT

BENTOFILE = PROJECT / "bentofile.yaml"


def model_tag(name: str, version: str | None, run_id: str) -> str:
    """The tag of the model that a run logged; `version` is its number in the registry (None: not registered)."""
    number = f"v{version}" if version else "run"
    return f"{name}:{number}-{run_id[:8]}"


def bento_tag(model_tag: str) -> str:
    """The tag of the Bento that holds the model and the sources as they are now."""
    return f"{model_tag}-{_sources_digest()[:8]}"


def _sources_digest() -> str:
    """SHA-256 over bentofile.yaml and every file that its allow-list names."""
    import yaml

    patterns = yaml.safe_load(BENTOFILE.read_text())["include"]
    files = {path for pattern in patterns for path in PROJECT.glob(pattern.lstrip("/")) if path.is_file()}
    digest = hashlib.sha256()
    for path in sorted({BENTOFILE, *files}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PROJECT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
