"""A PostgreSQL address for each library that reads one, with the session that we rely on (`online_store.session`)."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from asof.errors import ConfigurationError
from online_store.session import options

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

LIBPQ = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
"""The drivers that take libpq's parameters."""
SCHEMA = "public"
"""Where our tables and those of Feast's registry are, whatever search path a role has."""


def read_url(text: str, refusal: str) -> "URL":
    """The address. Raises ConfigurationError with that refusal, which does not quote the address."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # which quotes what it could not read, and that may be the password
        raise ConfigurationError(refusal) from None
    if not url.drivername.startswith("postgresql") or not (url.host and url.database):
        raise ConfigurationError(refusal)
    if "\0" in f"{url.username}{url.password}{url.database}":  # where libpq's string would end
        raise ConfigurationError(refusal)
    return url


def conninfo_of(url: "URL", **session: str) -> str:
    """An address for libpq, which takes no `+` for a space, as SQLAlchemy writes one; SQLAlchemy reads it as well.

    Raises ConfigurationError where libpq does not know a parameter.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    bare = url.set(drivername="postgresql", query={}).render_as_string(hide_password=False).replace(" ", "%20")
    text = f"{bare}?{urlencode(with_session(url, **session).query, doseq=True, quote_via=quote)}"
    try:
        conninfo_to_dict(text)
    except ProgrammingError:  # which quotes what it could not read
        raise ConfigurationError("ASOF_POSTGRES_URL holds a parameter that libpq does not know.") from None
    return text


def with_session(url: "URL", **session: str) -> "URL":
    """The address with our session after the options that it has; an address that has the session stays as it is."""
    given = url.query.get("options", "")
    told = options(given if isinstance(given, str) else " ".join(given), **session)
    return url.update_query_dict({"client_encoding": "UTF8", "options": told})


def address_with_session(text: str) -> str:
    """The same for an address that is not ours, which may be of any kind; who opens it says what is wrong with it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not text.startswith("postgresql"):
        return text
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return text
    return with_session(url).render_as_string(hide_password=False) if url.drivername in LIBPQ else text
