"""What every door does first: settings, a PostgreSQL that answers, and the platforms' own environment."""

from asof.settings import Settings, export
from local import postgres


def open_settings() -> Settings:
    """Settings once the database is there; the embedded one is started where none is set."""
    settings = postgres.ensure(Settings())
    export(settings)
    return settings
