"""Checks of the signing key, the trusted keys and the API keys."""

from collections.abc import Iterator

from asof.errors import ConfigurationError
from asof.serving.access.guard import AccessGuard
from asof.trust.signing_keys import key_id, signing_key, trusted_keys
from doctor.context import Context
from doctor.finding import Finding, error, warning


def check_keys(context: Context) -> Iterator[Finding]:
    """The signing key and ASOF_TRUSTED_KEYS. No findings without a key, as the first training creates one."""
    settings = context.settings
    has_key = settings.signing_key or settings.signing_key_text or (settings.home / "keys" / "signing.pem").is_file()
    try:
        signs = key_id(signing_key(settings).public_key()) if has_key else ""
    except ConfigurationError as wrong:
        fix = "Set ASOF_SIGNING_KEY to a readable Ed25519 PEM file, or ASOF_SIGNING_KEY_TEXT to the file in base64."
        yield error("signing-key", str(wrong), fix)
        return
    try:
        trusted = set(trusted_keys(settings)) if settings.trusted_keys else {signs}
    except ConfigurationError as wrong:
        fix = "Set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints, separated by commas."
        yield error("trusted-keys", str(wrong), fix)
        return
    yield from check_signer(signs, trusted)


def check_api_keys(context: Context) -> Iterator[Finding]:
    """A file of API keys with which the service would not start."""
    try:
        AccessGuard(context.settings).check()
    except ConfigurationError as wrong:
        fix = "python -m flows api-keys add NAME --scope predict"  # unsetting ASOF_API_KEYS would open the service
        yield error("api-keys", str(wrong), fix)


def check_signer(signs: str, trusted: set[str]) -> Iterator[Finding]:
    """Whether models that are signed here can be loaded here; `signs` is empty if nothing is signed here."""
    if signs and signs not in trusted:
        found = f"Models are signed with key {signs}, which is not in ASOF_TRUSTED_KEYS: services would refuse them."
        fix = "Append a comma and what `python -m flows keys` prints to ASOF_TRUSTED_KEYS."
        yield warning("untrusted-signer", found, fix)
