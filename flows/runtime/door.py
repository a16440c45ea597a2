"""What every door does first: settings, a PostgreSQL that answers, and the platforms' own environment."""

import os

from asof.settings import Settings, export
from local.embedded_postgres import postgres
from local.stack import stack
from training.tracking.address import check_tracking_address


def default_use_case() -> str:
    """The use case of a command or a flow that is given none."""
    return Settings().use_case


def open_places() -> Settings:
    """Settings of what needs neither a database nor a server, and starts none: BentoML finds its stores."""
    settings = Settings()
    os.environ.update(settings.platform_folders())
    return settings


def open_settings() -> Settings:
    """Settings once the database is there; the embedded one is started where none is set.

    Flows then report to the Prefect server that PREFECT_API_URL names or `make up` runs; else to a temporary one.
    """
    settings = postgres.ensure(Settings())
    export(settings)
    for name, value in stack.prefect_address(settings).items():
        os.environ.setdefault(name, value)
    return settings


def open_tracked_settings() -> Settings:
    """The same for whatever needs MLflow, which is asked before anything is computed or Prefect starts.

    Raises ConfigurationError where MLflow is not at the address that is set.
    """
    settings = open_settings()
    check_tracking_address(settings.tracking_uri)
    return settings
