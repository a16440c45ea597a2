"""PostgreSQL's login roles, where they are used -> who may do more, or less, than he should."""

from collections.abc import Iterator

from doctor.finding import Finding, error
from doctor.given import Given
from doctor.platforms.database import reading
from roles.access import ROLES
from roles.provision import wrong_grants

MOST = 3


def look_at_grants(given: Given) -> Iterator[Finding]:
    """Nothing is said where none of the roles is there, or where another database than theirs is looked at."""
    with reading(given.settings) as connection:
        row = connection.execute(
            "SELECT current_database(), count(*) FROM pg_roles WHERE rolname = ANY(%s)", (list(ROLES),)
        ).fetchone()
    if row and row[0] == "asof" and row[1]:
        yield from deviating(wrong_grants(given.settings))


def deviating(words: list[str]) -> Iterator[Finding]:
    """What differs from `roles/access.py`, for one command mends all of it."""
    if words:
        more = f"; and {len(words) - MOST} more" if len(words) > MOST else ""
        mend = "python -m flows databases  (in containers: docker-compose up databases)"
        yield error("grants", f"PostgreSQL's roles are not as they should be: {'; '.join(words[:MOST])}{more}.", mend)
