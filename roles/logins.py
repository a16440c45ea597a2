"""The roles: without attributes or memberships, and with passwords that are sent as SCRAM verifiers."""

from collections.abc import Iterator, Mapping

from psycopg import sql
from pydantic import SecretStr

from roles.access import ASOF, OWNER, ROLES, SERVING, SETTINGS
from roles.deviation import Connection, Deviation

ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
"""Attributes that none of the roles may have."""

HAS = f"SELECT rolname, rolcanlogin, {', '.join(ATTRIBUTES)} FROM pg_roles WHERE rolname = ANY(%s)"  # noqa: S608
MEMBER_OF = """
SELECT member.rolname, held.rolname FROM pg_auth_members
JOIN pg_roles member ON member.oid = member JOIN pg_roles held ON held.oid = roleid
WHERE member.rolname = ANY(%s) ORDER BY 1, 2"""
SET_FOR = """
SELECT rolname, setting FROM pg_db_role_setting, unnest(setconfig) setting, pg_roles, pg_database
WHERE pg_roles.oid = setrole AND pg_database.oid = setdatabase AND datname = %s"""


def known_roles(connection: Connection) -> set[str]:
    """Our roles that exist."""
    return {name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[*ROLES]])}


def absent_roles(connection: Connection) -> Iterator[Deviation]:
    """Our roles that do not exist."""
    for role in sorted({*ROLES} - known_roles(connection)):
        login = sql.SQL("NOLOGIN" if role == OWNER else "LOGIN")
        yield Deviation(f"Role {role} is absent", sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), login))


def wrong_roles(connection: Connection) -> Iterator[Deviation]:
    """Wrong attributes, and memberships."""
    for role, can_login, *has in connection.execute(HAS, [[*ROLES]]):
        words = [f"NO{word}" for word, held in zip(ATTRIBUTES.values(), has, strict=True) if held]
        if can_login == (role == OWNER):
            words.append("NOLOGIN" if can_login else "LOGIN")
        if words:
            change = sql.SQL("ALTER ROLE {} ").format(sql.Identifier(role)) + sql.SQL(" ".join(words))
            yield Deviation(f"Role {role} is not {' '.join(words)}", change)
    for role, held in connection.execute(MEMBER_OF, [[*ROLES]]).fetchall():
        names = map(sql.Identifier, (held, role))
        yield Deviation(f"Role {role} is a member of {held}", sql.SQL("REVOKE {} FROM {}").format(*names))


def wrong_settings(connection: Connection) -> Iterator[Deviation]:
    """Default settings of a role in database `asof` that are missing."""
    existing = set(connection.execute(SET_FOR, [ASOF]).fetchall())
    for role in known_roles(connection) & SETTINGS.keys():
        for name, value in SETTINGS[role].items():
            if (role, f"{name}={value}") not in existing:
                parts = (sql.Identifier(role), sql.Identifier(ASOF), sql.Identifier(name), sql.Literal(value))
                change = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} TO {}").format(*parts)
                yield Deviation(f"Role {role} does not begin with {name} = {value}", change)


def wrong_limit(connection: Connection, limit: int | None) -> Iterator[Deviation]:
    """Another connection limit of the service's role; none is wrong without `limit`."""
    found = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [SERVING]).fetchone()
    if limit is not None and found != (limit,):
        change = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(SERVING), sql.Literal(limit))
        yield Deviation(f"Role {SERVING} has another limit than {limit} connections", change)


def set_passwords(connection: Connection, passwords: Mapping[str, SecretStr]) -> None:
    """Sends only the verifiers, which the server may log."""
    for role, password in passwords.items():
        verifier = connection.pgconn.encrypt_password(
            password.get_secret_value().encode(), role.encode(), b"scram-sha-256"
        )
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
        )


def join_roles(connection: Connection) -> None:
    """Grants the roles to the current user, who without being a superuser needs them to create tables and to grant."""
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row != (True,):
        for role in ROLES:
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
