"""MLflow's address in, nothing out, or the error that names it: asked before MLflow is even imported.

MLflow itself would try for minutes, or would make a database in the folder that a command happens to start in.
"""

import os
import re
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from asof.bounded_http import IDENTITY, MAX_BYTES
from asof.errors import ConfigurationError, is_disk_error

PATIENCE = 3.0
"""Seconds to find out, names looked up and all: no library's own timeout covers the look-up or a dripping answer."""

QUESTION = "/api/2.0/mlflow/experiments/search?max_results=1"
"""Something that only MLflow answers. Not `/health`: it is open to every host name and without a password (3.17)."""


def check_tracking_address(uri: str) -> None:
    """Raises ConfigurationError, without the password, where within PATIENCE no MLflow is found at this address."""
    answers: Queue[Exception | None] = Queue()
    Thread(target=lambda: answers.put(_trouble(uri)), daemon=True).start()
    try:
        trouble = answers.get(timeout=PATIENCE)
    except Empty:
        trouble = TimeoutError(f"no answer within {PATIENCE:g} seconds")
    if trouble is not None:
        raise unusable(uri, trouble) from None  # the cause could tell the password


def unusable(uri: str, trouble: Exception) -> ConfigurationError:
    """The one sentence: which variable, which address, what is wrong, what to do."""
    reason = _reason(trouble).replace(uri, _without_password(uri))
    mend = "Start MLflow there, correct MLFLOW_TRACKING_URI, or unset it to use the project's own database."
    if is_disk_error(reason):
        mend = "Make room on the disk where its database lies."
    return ConfigurationError(f"MLflow cannot be used at {_without_password(uri)}: {reason}. {mend}")


def _trouble(uri: str) -> Exception | None:
    try:
        _ask(uri)
    except ValueError:  # which quotes what it could not read, and that may be the password
        return ConfigurationError("it cannot be read as an address")
    except Exception as error:
        return error
    return None


def _ask(uri: str) -> None:
    scheme, colon, _ = uri.partition(":")
    match scheme.partition("+")[0] if colon else "file":
        case "http" | "https":
            _ask_server(uri)
        case "postgresql":
            _ask_database(uri, connect_timeout=int(PATIENCE))
        case "sqlite":
            _ask_file(uri)
        case "file":
            raise ConfigurationError(
                "MLflow takes it for a folder, and keeps runs in none; write sqlite:////FOLDER/mlflow.db"
            )
        case _:
            raise ConfigurationError("it must begin with http://, https://, postgresql:// or sqlite:////")


def _ask_server(uri: str) -> None:
    import requests

    answer = requests.get(
        uri.rstrip("/") + QUESTION, headers=IDENTITY, timeout=PATIENCE, allow_redirects=False, stream=True
    )
    body = answer.raw.read(MAX_BYTES, decode_content=False)
    match answer.status_code:
        case 200 if "json" in answer.headers.get("Content-Type", ""):
            return
        case 401 if "@" not in uri:
            return  # MLflow's own client may know a user name or a token from its variables
        case 401:
            raise ConfigurationError("it refuses the user name or the password (401)")
        case 403 if b"Invalid Host" in body:
            raise ConfigurationError("it refuses this host name (403): its --allowed-hosts must list it")
        case status:
            raise ConfigurationError(f"it does not answer as MLflow does (status {status})")


def _ask_file(uri: str) -> None:
    from sqlalchemy.engine import make_url

    file = Path(make_url(uri).database or "")
    if not file.is_absolute():
        raise ConfigurationError("its place depends on the folder of the command; write sqlite:////FOLDER/mlflow.db")
    if not file.parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.parent}")
    if file.exists():  # to ask one that is absent would make it
        _ask_database(uri)
    elif not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"we may not write to {file.parent}")


def _ask_database(uri: str, **connect: int) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args=connect, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
    if "alembic_version" in tables and "experiments" not in tables:
        raise ConfigurationError("the database is another program's")  # beside which MLflow would make its tables


def _reason(trouble: BaseException) -> str:
    """The first line of the first cause: libraries wrap what the system said."""
    while trouble.__context__ is not None:
        trouble = trouble.__context__
    said = str(getattr(trouble, "strerror", None) or trouble).strip()
    return said.splitlines()[0].rstrip(".") if said else type(trouble).__name__


def _without_password(uri: str) -> str:
    """The address; whatever stands before an `@` goes, for one that is malformed may hold the password anywhere."""
    bare = re.sub(r"^([\w+]+://)?.*@", r"\1***@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", bare, flags=re.IGNORECASE)
