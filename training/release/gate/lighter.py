"""Two versions -> in what the challenger is cheaper to serve; by their signed manifests, so that it never varies."""

from asof.inference.runtime import MODEL_ONNX
from asof.settings import Settings
from asof.trust.signed_manifest import Manifest
from training.release.registry.versions import ModelVersion, manifest_of

SMALLER = 0.5
"""The greatest share of the champion's bytes that a file which counts as smaller may have."""


def lighter_than(settings: Settings, challenger: ModelVersion, champion: ModelVersion) -> str:
    """A clause about the challenger, empty where it is not lighter: compiled where the champion is not, or else its
    served file has at most half of the bytes. Raises UntrustedModel where a manifest is not signed.
    """
    ours, theirs = (manifest_of(settings, each)[0] for each in (challenger, champion))
    compiled = [MODEL_ONNX in each.files for each in (ours, theirs)]
    if compiled[0] != compiled[1]:
        return f"compiled, which version {champion.version} is not" if compiled[0] else ""
    sizes = [_served_bytes(each) for each in (ours, theirs)]
    if sizes[0] > SMALLER * sizes[1]:
        return ""
    return f"smaller: {sizes[0]:,} bytes, version {champion.version} has {sizes[1]:,}"


def _served_bytes(manifest: Manifest) -> int:
    """The size of the file that the service predicts with."""
    name = MODEL_ONNX if MODEL_ONNX in manifest.files else next(each for each in manifest.files if ".skops" in each)
    return manifest.files[name].size
