"""Creates the secrets that docker-compose.yml needs and `.env` lacks; existing ones are never replaced.

No name is a setting (ASOF_), because commands of this checkout read `.env` too.
"""

import base64
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from asof.errors import ConfigurationError

PASSWORDS = (
    "POSTGRES_PASSWORD",
    "INGEST_DB_PASSWORD",
    "TRAINING_DB_PASSWORD",
    "SERVING_DB_PASSWORD",
    "LEDGER_DB_PASSWORD",
    "MONITORING_DB_PASSWORD",
    "MLFLOW_DB_PASSWORD",
    "PREFECT_DB_PASSWORD",
    "ERASURE_DB_PASSWORD",
    "ERASURE_KEY",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_TRAINING_PASSWORD",
    "MLFLOW_SERVING_PASSWORD",
    "MLFLOW_SECRET_KEY",
    "PREFECT_PASSWORD",
    "GRAFANA_PASSWORD",
)
BITS = 192
MODE = 0o600
LINE = re.compile(r"^(?:export )?([A-Z_]+)=(.+)$", re.MULTILINE)
Makers = Mapping[str, Callable[[], str]]


def make_secrets(project: Path) -> tuple[str, ...]:
    """Adds what `.env` and `.keys/api-keys` lack; returns the names. Raises ConfigurationError if they do not match."""
    file, keys = project / ".env", project / ".keys" / "api-keys"
    existing = dict(LINE.findall(file.read_text())) if file.exists() else {}
    makers: Makers = {
        **dict.fromkeys(PASSWORDS, _password),
        "SIGNING_KEY_TEXT": _signing_key,
        "API_KEY": lambda: _api_key(keys, "curl", "predict"),
        "METRICS_KEY": lambda: _api_key(keys, "prometheus", "admin"),
    }
    made = {name: make() for name, make in makers.items() if name not in existing}
    if "TRUSTED_KEYS" not in existing:
        made["TRUSTED_KEYS"] = _public_key((existing | made)["SIGNING_KEY_TEXT"])
    _append(file, made)
    return tuple(made)


def _password() -> str:
    """A password that is safe in URLs and has no `$`, which compose would expand."""
    return secrets.token_urlsafe(BITS // 8)


def _signing_key() -> str:
    """A new key in the format of ASOF_SIGNING_KEY_TEXT: its PEM in base64."""
    from asof.trust.signing_keys import new_pem

    return base64.b64encode(new_pem()).decode()


def _public_key(text: str) -> str:
    """The public key in the format of ASOF_TRUSTED_KEYS."""
    from pydantic import SecretStr

    from asof.settings import Settings
    from asof.trust.signing_keys import key_id, public_text, signing_key

    alone = Settings.model_construct(signing_key=None, signing_key_text=SecretStr(text))
    key = signing_key(alone).public_key()
    return public_text({key_id(key): key})


def _api_key(keys: Path, name: str, scope: str) -> str:
    """Adds a new key to the file, which the service's user must be able to read; it holds only hashes."""
    from asof.serving.access.key_editing import HEADER, add_key

    keys.parent.mkdir(exist_ok=True)
    if not keys.exists():
        keys.write_text(f"{HEADER}\n")
        keys.chmod(0o644)
    try:
        return add_key(keys, name, [scope])[1]
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} Its text is missing in .env: run `python -m flows api-keys remove {name}`, then try again."
        ) from None


def _append(file: Path, made: Mapping[str, str]) -> None:
    """Appends to the file, which is readable by its owner only before a secret is written."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, MODE)
    with os.fdopen(descriptor, "a+") as opened:
        os.fchmod(opened.fileno(), MODE)
        if made:
            opened.seek(0)
            text = opened.read()
            begin = "" if not text else "\n" if text.endswith("\n") else "\n\n"
            opened.write(begin + "# Secrets of docker-compose.yml, created by `make secrets`.\n")
            opened.writelines(f"{name}={value}\n" for name, value in made.items())
