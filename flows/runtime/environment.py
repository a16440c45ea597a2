"""Settings of a flow or command, with the servers that it needs; imports are local, as `--help` needs none of them."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asof.settings import Settings


def settings_without_database() -> "Settings":
    """Settings, with the platforms' folders exported to the environment; starts no server."""
    from asof.settings import Settings

    settings = Settings()
    os.environ.update(settings.platform_folders())
    return settings


def settings_with_database() -> "Settings":
    """Settings with a PostgreSQL that answers; the embedded one is started if ASOF_POSTGRES_URL is unset.

    Exports PREFECT_API_URL if `make up` runs a Prefect server and no other is set.
    """
    from asof.settings import Settings, export
    from local.embedded_postgres import postgres
    from local.stack import stack

    settings = postgres.ensure(Settings())
    export(settings)
    for name, value in stack.prefect_address(settings).items():
        os.environ.setdefault(name, value)
    return settings


def settings_with_tracking() -> "Settings":
    """Settings with a PostgreSQL and an MLflow that answer.

    Raises ConfigurationError if MLflow does not answer at its address, before work begins.
    """
    from training.tracking.address import check_tracking_address

    settings = settings_with_database()
    check_tracking_address(settings.tracking_uri)
    return settings
