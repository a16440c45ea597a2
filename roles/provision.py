"""Creates roles, databases, tables and grants as `access.py` declares them, from an admin's address and six passwords.

It can be repeated: deviations are corrected and reported, and passwords are set again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import Settings
from local.embedded_postgres import postgres
from local.embedded_postgres.databases import make_database, reason
from roles.access import ASOF, DATABASES, LOGINS, MLFLOW, OWNER, PREFECT
from roles.deviation import Connection, Deviation, correct
from roles.grants import wrong_in_asof, wrong_in_sister, wrong_on_databases
from roles.logins import absent_roles, join_roles, known_roles, set_passwords, wrong_limit, wrong_roles, wrong_settings
from roles.ownership import wrong_databases, wrong_owners, wrong_owners_in_sister
from roles.tables import make_tables, wanted_tables

TRIGRAMS = "pg_trgm"
"""An extension of Prefect's server, which its role can create itself where the server has it."""

SESSION = {"search_path": "pg_catalog", "role": "none", "default_transaction_read_only": "off", "lock_timeout": "60s"}
"""The settings of the admin's sessions, whatever the defaults of a database."""


@dataclass(frozen=True)
class Provision:
    """Descriptions of what was created or corrected, and the roles whose passwords were set."""

    corrected: tuple[str, ...]
    passwords: tuple[str, ...]


def make_databases(settings: Settings, *, close_others: bool = False) -> Provision:
    """With `close_others` PUBLIC may no longer connect to the server's other databases either.

    Raises ConfigurationError where the address or a password is not set, or the admin lacks a privilege.
    """
    passwords, admin = _passwords(settings), _admin(settings)
    try:
        with _connected(admin) as server:
            server.execute("SELECT pg_advisory_lock(hashtextextended('asof databases', 0))")
            corrected = tuple(_correct_all(admin, server, passwords, close_others))
    except psycopg.errors.InsufficientPrivilege as refusal:
        raise ConfigurationError(
            f"User {admin.database().username} lacks a privilege ({refusal.diag.message_primary}): set "
            "ASOF_ADMIN_POSTGRES_URL to a superuser's address, or to that of the user who created the databases."
        ) from None
    except (psycopg.OperationalError, psycopg.InternalError) as trouble:  # a lock, a standby, a server that goes away
        raise ConfigurationError(
            f"PostgreSQL refused a statement ({reason(trouble)}): run the command again, what is done is kept."
        ) from None
    if left := _differing(admin, close_others=close_others):  # a REVOKE without the right to it is only a warning
        raise ConfigurationError(
            f"Only a superuser can correct: {'; '.join(left)}. A superuser finds here what another role has granted: "
            "REVOKE it after SET ROLE to that role."
        )
    return Provision(corrected, tuple(passwords))


def wrong_grants(settings: Settings) -> list[str]:
    """Descriptions of what differs from `access.py` in database `asof`; none where none of the roles exists.

    Changes nothing, and needs only CONNECT.
    """
    with _connected(settings) as connection:
        if not known_roles(connection):
            return []
    return _differing(settings)


def snapshots_owner(settings: Settings) -> str:
    """Of sessions that own the snapshot tables: an admin's as the owner role or the settings' user."""
    return (_as_owner(_admin(settings)) if settings.admin_postgres_url else settings).conninfo()


def owner_conninfo(settings: Settings) -> str:
    """Of sessions that own the ledger: an admin's as the owner role where one is set, or else the settings' user.

    Without a server in the settings the embedded one is started, and its user is a superuser.
    """
    if settings.admin_postgres_url:
        return _as_owner(_admin(settings)).conninfo()
    return (settings if settings.ledger_url else postgres.ensure(settings)).ledger_conninfo()


def _differing(settings: Settings, *, close_others: bool = False) -> list[str]:
    with _connected(settings, ASOF) as connection:
        tables = wanted_tables(connection)
        of_server = (absent_roles, wrong_roles, wrong_databases, wrong_settings)
        deviations = [each for find in of_server for each in find(connection)]
        deviations += wrong_on_databases(connection, close_others=close_others)
        deviations += [*wrong_owners(connection, tables), *wrong_in_asof(connection, tables)]
    return [each.description for each in deviations]


def _correct_all(
    admin: Settings, server: Connection, passwords: Mapping[str, SecretStr], close_others: bool
) -> Iterator[str]:
    yield from correct(server, absent_roles(server))
    yield from correct(server, wrong_roles(server))
    yield from correct(server, wrong_limit(server, admin.serving_connections))
    set_passwords(server, passwords)
    join_roles(server)
    yield from (f"Database {name} is absent" for name in DATABASES if make_database(admin, name))
    yield from correct(server, wrong_databases(server))
    yield from correct(server, wrong_on_databases(server, close_others=close_others))
    yield from correct(server, wrong_settings(server))
    with _connected(admin, ASOF) as connection:
        yield from _correct_asof(admin, connection)
    for name in (MLFLOW, PREFECT):
        with _connected(admin, name) as connection:
            yield from correct(connection, wrong_owners_in_sister(connection, name))
            yield from correct(connection, wrong_in_sister(connection, name))
            if name == PREFECT:
                yield from correct(connection, _extension(connection))


def _correct_asof(admin: Settings, connection: Connection) -> Iterator[str]:
    tables = wanted_tables(connection)
    # First, because the owner role cannot see or use objects of others.
    yield from correct(connection, wrong_owners(connection, tables))
    yield from correct(connection, wrong_in_asof(connection, tables))
    make_tables(_as_owner(admin))
    correct(connection, wrong_in_asof(connection, tables))  # not reported: the tables are new


def _extension(connection: Connection) -> Iterator[Deviation]:
    """If the server does not offer it, Prefect's own server reports it."""
    query = "SELECT installed_version IS NULL FROM pg_available_extensions WHERE name = %s"
    if connection.execute(query, [TRIGRAMS]).fetchone() == (True,):
        make = sql.SQL("CREATE EXTENSION {} SCHEMA public").format(sql.Identifier(TRIGRAMS))
        yield Deviation(f"Database {PREFECT} has no extension {TRIGRAMS}", make)


def _passwords(settings: Settings) -> dict[str, SecretStr]:
    fields = {role: f"{role.removeprefix('asof_')}_password" for role in LOGINS}
    if absent := [f"ASOF_{name.upper()}" for name in fields.values() if not getattr(settings, name)]:
        raise ConfigurationError(f"Not set: {', '.join(absent)}. Set a password for each role.")
    return {role: getattr(settings, name) for role, name in fields.items()}


def _admin(settings: Settings) -> Settings:
    if settings.admin_postgres_url is None:
        raise ConfigurationError(
            "ASOF_ADMIN_POSTGRES_URL is not set: set it to postgresql://user:password@host:port/postgres of a "
            "superuser or of a user with CREATEROLE and CREATEDB."
        )
    admin = settings.model_copy(update={"postgres_url": settings.admin_postgres_url})
    try:
        admin.database()
    except ConfigurationError:
        raise ConfigurationError(
            "ASOF_ADMIN_POSTGRES_URL must have the form postgresql://user:password@host:port/postgres."
        ) from None
    return admin


def _as_owner(admin: Settings) -> Settings:
    """The admin in database `asof`, acting as the owner role."""
    url = admin.database(ASOF).update_query_dict({"options": f"-c role={OWNER}"})
    return admin.model_copy(update={"postgres_url": SecretStr(url.render_as_string(hide_password=False))})


@contextmanager
def _connected(settings: Settings, name: str | None = None) -> Iterator[Connection]:
    """With a search path on which no role can create objects, whatever the defaults of the database."""
    url = settings.database(name)
    try:
        connection = psycopg.connect(settings.conninfo(name, **SESSION), autocommit=True)
    except psycopg.OperationalError as refusal:
        address = f"{url.host}:{url.port or 5432}, database {url.database}"
        raise ConfigurationError(
            f"User {url.username} cannot connect to PostgreSQL at {address}: {reason(refusal)}."
        ) from None
    with connection:
        yield connection
