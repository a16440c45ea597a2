"""A registered version -> who signed its model, or the error that says why nobody counts; only its manifest is read."""

from asof.errors import UntrustedModel
from asof.settings import Settings
from asof.trust.signed_manifest import MANIFEST, verify_envelope
from asof.trust.signing_keys import trusted_keys
from training.release.registry.versions import ModelVersion
from training.tracking.artifacts import downloaded


def signer_of(settings: Settings, version: ModelVersion) -> str:
    """The id of the trusted key. The files themselves are compared with the manifest by whoever loads the model.

    Raises UntrustedModel where there is no manifest, no trusted key signed it, or it is of another run.
    """
    from mlflow.exceptions import MlflowException

    try:
        with downloaded(settings, f"models:/{version.name}/{version.version}/{MANIFEST}") as path:
            content = path.read_bytes()
    except (OSError, MlflowException) as error:
        raise UntrustedModel(
            f"MLflow gives no {MANIFEST} of {version.name} version {version.version} ({type(error).__name__}): "
            "bring its artefacts back, or train and register again."
        ) from error
    manifest, signer = verify_envelope(content, trusted_keys(settings))
    if manifest.run_id != version.run_id:
        raise UntrustedModel(f"The manifest is of run {manifest.run_id}, not of {version.run_id}: register it again.")
    return signer
