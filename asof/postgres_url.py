"""PostgreSQL URLs for each library that reads one, with our session settings (`online_store.session`).

They are read without SQLAlchemy, whose import takes a tenth of a second of a processor.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlencode

from asof.errors import ConfigurationError
from online_store.session import options

LIBPQ_DRIVERS = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
"""The drivers that accept libpq's parameters."""
SCHEMA = "public"
"""Holds our tables and those of Feast's registry, whatever search path a role has."""

# As SQLAlchemy reads one: a password may hold any character but an @, and each part may be absent.
USER = r"(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?"
HOST = r"(?:\[(?P<ipv6>[^]/?]+)\]|(?P<name>[^][@:/?]+))?(?::(?P<port>\d{1,5}))?"
URL = re.compile(rf"(?P<drivername>[\w+]+)://{USER}{HOST}(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?", re.DOTALL)


@dataclass(frozen=True)
class DatabaseUrl:
    """A database's URL in parts, with nothing escaped. Its members are named as those of SQLAlchemy's URL.

    `drivername` may have a driver, as `postgresql+psycopg`; a value of `query` is a text, or several.
    """

    drivername: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    database: str | None = None
    query: Mapping[str, str | list[str]] = field(default_factory=dict, repr=False)

    def set(self, **parts: Any) -> Self:
        """The URL with these parts."""
        return replace(self, **parts)

    def update_query_dict(self, parameters: Mapping[str, str]) -> Self:
        """The URL with these parameters, in place of others of the same names."""
        return replace(self, query={**self.query, **parameters})

    def render_as_string(self, hide_password: bool = True) -> str:
        """The URL as text, which libpq and SQLAlchemy read alike: they differ in what a `+` is, and none is left."""
        password = "" if self.password is None else f":{'***' if hide_password else quote(self.password, safe='')}"
        user = "" if self.username is None else f"{quote(self.username, safe='')}{password}@"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host or ""
        port = "" if self.port is None else f":{self.port}"
        database = "" if self.database is None else f"/{quote(self.database)}"
        query = urlencode(sorted(self.query.items()), doseq=True, quote_via=quote)
        return f"{self.drivername}://{user}{host}{port}{database}{query and f'?{query}'}"


def parse_url(text: str) -> DatabaseUrl | None:
    """The parts of a database's URL; None where it is none."""
    if (match := URL.fullmatch(text)) is None:
        return None
    user, password, database = (part and unquote(part) for part in match.group("username", "password", "database"))
    values = parse_qs(match["query"] or "", keep_blank_values=False)
    query = {name: each if len(each) > 1 else each[0] for name, each in values.items()}
    port = int(match["port"]) if match["port"] else None
    return DatabaseUrl(match["drivername"], user, password, match["ipv6"] or match["name"], port, database, query)


def read_url(text: str, refusal: str) -> DatabaseUrl:
    """The URL. Raises ConfigurationError with the message `refusal`, which does not quote it: it has a password."""
    url = parse_url(text)
    if url is None or not (url.drivername.startswith("postgresql") and url.host and url.database):
        raise ConfigurationError(refusal)
    if "\0" in f"{url.username}{url.password}{url.database}":  # where libpq's string ends
        raise ConfigurationError(refusal)
    return url


def conninfo_of(url: DatabaseUrl, variable: str = "ASOF_POSTGRES_URL", **session: str) -> str:
    """The URL for libpq. Raises ConfigurationError, naming the variable of the URL, where libpq cannot read it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    text = with_session(url, **session).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        conninfo_to_dict(text)
    except ProgrammingError:  # quotes its input
        raise ConfigurationError(f"{variable} has a parameter that libpq does not know. Remove it.") from None
    return text


def with_session(url: DatabaseUrl, **session: str) -> DatabaseUrl:
    """The URL with our session settings after its own options; idempotent."""
    own = url.query.get("options", "")
    merged = options(own if isinstance(own, str) else " ".join(own), **session)
    return url.update_query_dict({"client_encoding": "UTF8", "options": merged})


def address_with_session(text: str) -> str:
    """The same for MLflow's address, which may be of any kind; a malformed one is left for MLflow to refuse."""
    url = parse_url(text)
    return with_session(url).render_as_string(hide_password=False) if url and url.drivername in LIBPQ_DRIVERS else text
