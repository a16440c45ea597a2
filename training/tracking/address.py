"""Checks the MLflow tracking URI before MLflow is imported.

MLflow itself would retry for minutes, or create a database in the current folder.
"""

import os
import re
from pathlib import Path

from asof.bounded_http import IDENTITY, MAX_BYTES, within
from asof.errors import ConfigurationError, is_disk_error

CHECK_TIMEOUT = 3.0
"""Seconds for the whole check."""

PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
"""A request that only MLflow answers. Not `/health`: that needs neither an allowed host nor a password (3.17)."""


def check_tracking_address(uri: str) -> None:
    """Raises ConfigurationError, without the password, unless MLflow answers at this address within CHECK_TIMEOUT."""
    try:
        failure = within(CHECK_TIMEOUT, lambda: _failure(uri))
    except TimeoutError as error:
        failure = error
    if failure is not None:
        raise unusable_tracking(uri, failure) from None  # the cause may contain the password


def unusable_tracking(uri: str, failure: Exception) -> ConfigurationError:
    """The error that names the address without its password, the reason, and what to do."""
    reason = _reason(failure).replace(uri, _without_password(uri))
    remedy = "Start MLflow there, correct MLFLOW_TRACKING_URI, or unset it to use the project's own database."
    if is_disk_error(reason):
        remedy = "Free space on the disk of its database."
    return ConfigurationError(f"MLflow cannot be used at {_without_password(uri)}: {reason}. {remedy}")


def _failure(uri: str) -> Exception | None:
    try:
        _probe(uri)
    except ValueError:  # its message quotes what it could not parse, which may be the password
        return ConfigurationError("it cannot be read as an address")
    except Exception as error:
        return error
    return None


def _probe(uri: str) -> None:
    scheme, colon, _ = uri.partition(":")
    match scheme.partition("+")[0] if colon else "file":
        case "http" | "https":
            _probe_server(uri)
        case "postgresql":
            _probe_database(uri, connect_timeout=int(CHECK_TIMEOUT))
        case "sqlite":
            _probe_file(uri)
        case "file":
            raise ConfigurationError(
                "MLflow takes it for a folder, and no longer stores runs in one; use sqlite:////FOLDER/mlflow.db"
            )
        case _:
            raise ConfigurationError("it must begin with http://, https://, postgresql:// or sqlite:////")


def _probe_server(uri: str) -> None:
    import requests

    response = requests.get(
        uri.rstrip("/") + PROBE, headers=IDENTITY, timeout=CHECK_TIMEOUT, allow_redirects=False, stream=True
    )
    body = response.raw.read(MAX_BYTES, decode_content=False)
    match response.status_code:
        case 200 if "json" in response.headers.get("Content-Type", ""):
            return
        case 401 if "@" not in uri:
            return  # MLflow's client may read a user name or token from its own variables
        case 401:
            raise ConfigurationError("it refuses the user name or the password (401)")
        case 403 if b"Invalid Host" in body:
            raise ConfigurationError("it refuses this host name (403): its --allowed-hosts must list it")
        case status:
            raise ConfigurationError(f"it does not answer as MLflow does (status {status})")


def _probe_file(uri: str) -> None:
    from sqlalchemy.engine import make_url

    file = Path(make_url(uri).database or "")
    if not file.is_absolute():
        raise ConfigurationError("it is relative to the current folder; use sqlite:////FOLDER/mlflow.db")
    if not file.parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.parent}")
    if file.exists():  # connecting would create it
        _probe_database(uri)
    elif not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"we may not write to {file.parent}")


def _probe_database(uri: str, **connect: int) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args=connect, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
    if "alembic_version" in tables and "experiments" not in tables:
        raise ConfigurationError("the database belongs to another program")  # MLflow would add its tables


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: libraries wrap the system's message."""
    while error.__context__ is not None:
        error = error.__context__
    message = str(getattr(error, "strerror", None) or error).strip()
    return message.splitlines()[0].rstrip(".") if message else type(error).__name__


def _without_password(uri: str) -> str:
    """The address without anything before an `@`: a malformed one may hold the password anywhere."""
    bare = re.sub(r"^([\w+]+://)?.*@", r"\1***@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", bare, flags=re.IGNORECASE)
