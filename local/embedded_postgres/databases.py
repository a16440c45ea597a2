"""Checks and creates our databases on a PostgreSQL server, embedded or not."""

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError, is_disk_error
from asof.settings import Settings
from online_store.session import SESSION, is_pooled

MLFLOW = "mlflow"
STOCK = "postgres"
"""Feast's `type` of its own online store."""
Connection = psycopg.Connection[TupleRow]


def check_databases(settings: Settings) -> None:
    """Creates the database of the settings, and `mlflow` if MLflow uses it, unless they exist.

    Raises ConfigurationError if the server does not answer, a database cannot be created, or its sessions would change
    values (by its encoding, or by a pooler that drops settings).
    """
    _require(settings, None)
    if settings.online_store == STOCK:
        _require_standard_strings(settings)
    if settings.tracking_uri == settings.sqlalchemy_url("psycopg2", MLFLOW):
        _require(settings, MLFLOW)


def _require(settings: Settings, name: str | None) -> None:
    try:
        connection = psycopg.connect(settings.conninfo(name))
    except psycopg.OperationalError as refusal:
        connection = _create_and_connect(settings, name, refusal)
    with connection:
        trouble = session_trouble(connection)
    if trouble:
        raise ConfigurationError(f"{trouble[0]}: {trouble[1]}.")


def _create_and_connect(settings: Settings, name: str | None, refusal: psycopg.OperationalError) -> Connection:
    url = settings.database(name)
    address = f"{url.host}:{url.port or 5432} (ASOF_POSTGRES_URL, database {url.database})"
    try:
        make_database(settings, str(url.database))
        return psycopg.connect(settings.conninfo(name))
    except psycopg.OperationalError as trouble:
        if full := next((each for each in (trouble, refusal) if is_disk_error(each)), None):
            raise ConfigurationError(
                f"The disk of PostgreSQL at {address} cannot be written ({reason(full)}): make room there."
            ) from None
        raise ConfigurationError(
            f"PostgreSQL at {address} refuses the connection: {reason(refusal)}. "
            "Start it, correct the address, or unset ASOF_POSTGRES_URL to use the embedded one."
        ) from None
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"The database does not exist in PostgreSQL at {address}, and user {url.username} may not create it: "
            f"let an administrator run CREATE DATABASE {url.database}."
        ) from None


def make_database(settings: Settings, name: str) -> bool:
    """Creates the database unless it exists; returns whether it did. A lock serialises concurrent callers."""
    database = sql.Identifier(name)
    with psycopg.connect(settings.conninfo("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('asof create database'))")
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(database))
        connection.execute(sql.SQL("ALTER DATABASE {} SET timezone TO 'UTC'").format(database))
    return True


def _require_standard_strings(settings: Settings) -> None:
    """Feast's own online store connects without our session options, and psycopg's byte lists need this one."""
    name = "standard_conforming_strings"
    with psycopg.connect(make_conninfo(settings.conninfo(), options="")) as connection:
        if connection.info.parameter_status(name) != "on":
            raise ConfigurationError(
                f"Feast's own online store needs {name}: run ALTER ROLE {connection.info.user} SET {name} = on, "
                "or unset ASOF_ONLINE_STORE."
            )


def session_trouble(connection: Connection) -> tuple[str, str] | None:
    """Why a connection would change values, and the next step; None if it does not."""
    if is_pooled(connection):
        return (
            "ASOF_POSTGRES_URL is the address of a connection pooler, and commands need sessions of their own, for "
            "locks and settings",
            "set it to PostgreSQL's own address; the prediction service may use the pooler's",
        )
    name, encoding = connection.info.dbname, connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        statement = f"CREATE DATABASE {name}_utf8 TEMPLATE template0 ENCODING 'UTF8'"
        return (
            f"Database {name} is encoded in {encoding}, which cannot store every text",
            f"{statement}, and load there",
        )
    query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    found = {name: setting.replace(" ", "") for name, setting in connection.execute(query, [[*SESSION]])}
    if wrong := [each for each, wanted in SESSION.items() if found[each] != wanted.replace(" ", "")]:
        trouble = f"Sessions in database {name} lose settings of our connections: {', '.join(wrong)}"
        return trouble, "connect to PostgreSQL directly, or make the pooler forward `options`"
    return None


def reason(error: psycopg.Error) -> str:
    """The first line of libpq's message, which never contains the password."""
    return str(error).splitlines()[0].removeprefix("connection failed: ").rstrip(".")
