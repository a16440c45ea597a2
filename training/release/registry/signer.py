"""A registered version -> the trusted key that signed its model; only the manifest is downloaded."""

from asof.errors import UntrustedModel
from asof.settings import Settings
from asof.trust.signed_manifest import MANIFEST, verify_envelope
from asof.trust.signing_keys import trusted_keys
from training.release.registry.versions import ModelVersion
from training.tracking.artifacts import downloaded


def signer_of(settings: Settings, version: ModelVersion) -> str:
    """The id of the trusted key. The files are not compared with the manifest: loading the model does that.

    Raises UntrustedModel where there is no manifest, where no trusted key signed it, or where it is of another run.
    """
    from mlflow.exceptions import MlflowException

    try:
        with downloaded(settings, f"models:/{version.name}/{version.version}/{MANIFEST}") as path:
            content = path.read_bytes()
    except (OSError, MlflowException) as error:
        raise UntrustedModel(
            f"MLflow gives no {MANIFEST} of {version.name} version {version.version} ({type(error).__name__}): "
            "restore its artifacts, or train and register again."
        ) from error
    manifest, signer = verify_envelope(content, trusted_keys(settings))
    if manifest.run_id != version.run_id:
        raise UntrustedModel(f"The manifest is of run {manifest.run_id}, not of {version.run_id}: register it again.")
    return signer
