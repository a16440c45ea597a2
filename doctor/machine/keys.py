"""The key that signs and the keys that are trusted -> would what is trained here be loaded here."""

from collections.abc import Iterator

from asof.errors import ConfigurationError
from asof.serving.access.guard import AccessGuard
from asof.trust.signing_keys import key_id, signing_key, trusted_keys
from doctor.finding import Finding, error, warning
from doctor.given import Given


def look_at_keys(given: Given) -> Iterator[Finding]:
    """Every check on keys. Without a key nothing is said: the first training makes one."""
    settings = given.settings
    has_key = settings.signing_key or settings.signing_key_text or (settings.home / "keys" / "signing.pem").is_file()
    try:
        signs = key_id(signing_key(settings).public_key()) if has_key else ""
    except ConfigurationError as wrong:
        mend = "Set ASOF_SIGNING_KEY to a PEM file of Ed25519 that we can read, or ASOF_SIGNING_KEY_TEXT to its base64."
        yield error("signing-key", str(wrong), mend)
        return
    try:
        trusted = set(trusted_keys(settings)) if settings.trusted_keys else {signs}
    except ConfigurationError as wrong:
        yield error(
            "trusted-keys", str(wrong), "Set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints, commas between."
        )
        return
    yield from signer_is_trusted(signs, trusted)


def look_at_api_keys(given: Given) -> Iterator[Finding]:
    """What stops a service at its start."""
    try:
        AccessGuard(given.settings).check()
    except ConfigurationError as wrong:
        mend = "python -m flows api-keys add NAME --scope predict"  # not to unset it: then all may ask
        yield error("api-keys", str(wrong), mend)


def signer_is_trusted(signs: str, trusted: set[str]) -> Iterator[Finding]:
    """Ids of keys; an empty one where this machine signs nothing."""
    if signs and signs not in trusted:
        found = (
            f"This machine signs models with {signs}, and ASOF_TRUSTED_KEYS does not name it: they would be refused."
        )
        mend = "Append what `python -m flows keys` prints, after a comma, to ASOF_TRUSTED_KEYS where that is set."
        yield warning("untrusted-signer", found, mend)
