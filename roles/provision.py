"""An admin's address and five passwords in; roles, databases, tables and grants as `access.py` says out.

May be repeated: what is right is left as it is, what is not is mended and told, passwords are set anew.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import Settings
from local.embedded_postgres.databases import make_database, reason
from roles.access import ASOF, DATABASES, INGEST, MLFLOW, OWNER, PREFECT, SERVING, TRAINING
from roles.deviation import Connection, Deviation, mend
from roles.grants import wrong_in_asof, wrong_in_sister, wrong_on_databases
from roles.logins import absent_roles, join_roles, known_roles, set_passwords, wrong_roles, wrong_settings
from roles.ownership import wrong_databases, wrong_owners, wrong_owners_in_sister
from roles.tables import make_tables, wanted_tables

TRIGRAMS = "pg_trgm"
"""The extension that Prefect's server looks for; its own role may make it, too, where the server has it."""


SESSION = {
    "search_path": "pg_catalog",
    "role": "none",
    "default_transaction_read_only": "off",
    "lock_timeout": "60s",
}
"""What the admin's sessions begin with, whatever is set for a database. Who holds a lock for longer is told."""


@dataclass(frozen=True)
class Provision:
    """What was made and mended, in words; `passwords` are the roles whose passwords were set."""

    mended: tuple[str, ...]
    passwords: tuple[str, ...]


def make_databases(settings: Settings, *, close_others: bool = False) -> Provision:
    """Makes everything so; with `close_others` PUBLIC may no longer connect to the server's other databases either.

    Raises ConfigurationError where the address or a password is not set, or the admin may not do it.
    """
    passwords = _passwords(settings)
    admin = _admin(settings)
    try:
        with _connected(admin) as server:
            server.execute("SELECT pg_advisory_lock(hashtextextended('asof databases', 0))")
            mended = tuple(_made(admin, server, passwords, close_others))
    except psycopg.errors.InsufficientPrivilege as refusal:
        raise ConfigurationError(
            f"User {admin.database().username} may not do all of it ({refusal.diag.message_primary}): set "
            "ASOF_ADMIN_POSTGRES_URL to a superuser's address, or to that of the user who made the databases."
        ) from None
    except (psycopg.OperationalError, psycopg.InternalError) as trouble:  # a lock, a standby, a server that goes away
        raise ConfigurationError(
            f"PostgreSQL did not let it be finished ({reason(trouble)}): what was made stays, run it again."
        ) from None
    if left := _differing(admin, close_others=close_others):  # a REVOKE by whoever may not is a warning
        raise ConfigurationError(
            f"Not all could be mended, a superuser has to: {'; '.join(left)}. What is left to a superuser was granted "
            "by another role: REVOKE it after SET ROLE to that one."
        )
    return Provision(mended, tuple(passwords))


def wrong_grants(settings: Settings) -> list[str]:
    """What of database `asof` differs from `access.py`, in words; nothing where none of the roles is there.

    Any role that may connect to the database can ask. Changes nothing.
    """
    with _connected(settings) as connection:
        if not known_roles(connection):
            return []
    return _differing(settings)


def _differing(settings: Settings, *, close_others: bool = False) -> list[str]:
    tables = wanted_tables()
    with _connected(settings, ASOF) as connection:
        of_server = (absent_roles, wrong_roles, wrong_databases, wrong_settings)
        found = [each for ask in of_server for each in ask(connection)]
        found += wrong_on_databases(connection, close_others=close_others)
        found += [*wrong_owners(connection, tables), *wrong_in_asof(connection, tables)]
    return [each.words for each in found]


def _made(admin: Settings, server: Connection, passwords: Mapping[str, SecretStr], close_others: bool) -> Iterator[str]:
    yield from mend(server, absent_roles(server))
    yield from mend(server, wrong_roles(server))
    set_passwords(server, passwords)
    join_roles(server)
    yield from (f"Database {name} is absent" for name in DATABASES if make_database(admin, name))
    yield from mend(server, wrong_databases(server))
    yield from mend(server, wrong_on_databases(server, close_others=close_others))
    yield from mend(server, wrong_settings(server))
    with _connected(admin, ASOF) as connection:
        yield from _asof_made(admin, connection)
    for name in (MLFLOW, PREFECT):
        with _connected(admin, name) as connection:
            yield from mend(connection, wrong_owners_in_sister(connection, name))
            yield from mend(connection, wrong_in_sister(connection, name))
            if name == PREFECT:
                yield from mend(connection, _extension(connection))


def _asof_made(admin: Settings, connection: Connection) -> Iterator[str]:
    tables = wanted_tables()
    # First, because the owner role would neither find nor be able to use what is another's.
    yield from mend(connection, wrong_owners(connection, tables))
    yield from mend(connection, wrong_in_asof(connection, tables))
    make_tables(_as_owner(admin))
    mend(connection, wrong_in_asof(connection, tables))  # no news: these have just been made


def _extension(connection: Connection) -> Iterator[Deviation]:
    """Where the server has it not, Prefect's own server says what it lacks."""
    query = "SELECT installed_version IS NULL FROM pg_available_extensions WHERE name = %s"
    if connection.execute(query, [TRIGRAMS]).fetchone() == (True,):
        make = sql.SQL("CREATE EXTENSION {} SCHEMA public").format(sql.Identifier(TRIGRAMS))
        yield Deviation(f"Database {PREFECT} has no extension {TRIGRAMS}", make)


def _passwords(settings: Settings) -> dict[str, SecretStr]:
    given = {
        INGEST: settings.ingest_password,
        TRAINING: settings.training_password,
        SERVING: settings.serving_password,
        MLFLOW: settings.mlflow_password,
        PREFECT: settings.prefect_password,
    }
    absent = [f"ASOF_{role.removeprefix('asof_').upper()}_PASSWORD" for role, password in given.items() if not password]
    if absent:
        raise ConfigurationError(f"Not set: {', '.join(absent)}. Each role needs a password of its own.")
    return {role: password for role, password in given.items() if password}


def _admin(settings: Settings) -> Settings:
    if settings.admin_postgres_url is None:
        raise ConfigurationError(
            "ASOF_ADMIN_POSTGRES_URL is not set: give the address of the superuser (or of a user who may make roles "
            "and databases), postgresql://user:password@host:port/postgres."
        )
    admin = settings.model_copy(update={"postgres_url": settings.admin_postgres_url})
    try:
        admin.database()
    except ConfigurationError:
        told = "ASOF_ADMIN_POSTGRES_URL must read postgresql://user:password@host:port/postgres."
        raise ConfigurationError(told) from None
    return admin


def _as_owner(admin: Settings) -> Settings:
    """The admin's sessions in database `asof` as the owner role."""
    url = admin.database(ASOF).update_query_dict({"options": f"-c role={OWNER}"})
    return admin.model_copy(update={"postgres_url": SecretStr(url.render_as_string(hide_password=False))})


@contextmanager
def _connected(settings: Settings, name: str | None = None) -> Iterator[Connection]:
    """With nothing on the search path that a role could have made, nor as an owner has set it for his database."""
    url = settings.database(name)
    try:
        connection = psycopg.connect(settings.conninfo(name, **SESSION), autocommit=True)
    except psycopg.OperationalError as refusal:
        address = f"{url.host}:{url.port or 5432}, database {url.database},"
        raise ConfigurationError(
            f"PostgreSQL at {address} does not let {url.username} in: {reason(refusal)}."
        ) from None
    with connection:
        yield connection
