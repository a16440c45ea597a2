"""PostgreSQL URLs for each library that reads one, with our session settings (`online_store.session`)."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from asof.errors import ConfigurationError
from online_store.session import options

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

LIBPQ_DRIVERS = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
"""The drivers that accept libpq's parameters."""
SCHEMA = "public"
"""Holds our tables and those of Feast's registry, whatever search path a role has."""


def read_url(text: str, refusal: str) -> "URL":
    """The URL. Raises ConfigurationError with the message `refusal`, which does not quote it: it has a password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(refusal) from None
    truncated = "\0" in f"{url.username}{url.password}{url.database}"  # where libpq's string ends
    if truncated or not (url.drivername.startswith("postgresql") and url.host and url.database):
        raise ConfigurationError(refusal)
    return url


def conninfo_of(url: "URL", variable: str = "ASOF_POSTGRES_URL", **session: str) -> str:
    """The URL for libpq, which reads no `+` as a space; SQLAlchemy reads it as well.

    Raises ConfigurationError, naming the variable of the URL, where libpq does not know a parameter.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    bare = url.set(drivername="postgresql", query={}).render_as_string(hide_password=False).replace(" ", "%20")
    text = f"{bare}?{urlencode(with_session(url, **session).query, doseq=True, quote_via=quote)}"
    try:
        conninfo_to_dict(text)
    except ProgrammingError:  # quotes its input
        raise ConfigurationError(f"{variable} has a parameter that libpq does not know. Remove it.") from None
    return text


def with_session(url: "URL", **session: str) -> "URL":
    """The URL with our session settings after its own options; idempotent."""
    own = url.query.get("options", "")
    merged = options(own if isinstance(own, str) else " ".join(own), **session)
    return url.update_query_dict({"client_encoding": "UTF8", "options": merged})


def address_with_session(text: str) -> str:
    """The same for MLflow's address, which may be of any kind; a malformed one is left for MLflow to refuse."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if not text.startswith("postgresql"):
        return text
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return text
    return with_session(url).render_as_string(hide_password=False) if url.drivername in LIBPQ_DRIVERS else text
