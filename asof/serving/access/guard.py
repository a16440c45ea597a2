"""Settings -> what stands before the application: keys, rates, and how long a request's head may be."""

import os
from typing import Any, Protocol

from starlette.types import ASGIApp

from asof.errors import ConfigurationError
from asof.serving.access.key_file import KeyFile
from asof.serving.access.rate_limits import Rates
from asof.serving.logs.access_log import AccessLog
from asof.settings import Settings

TRUSTED_PROXIES = "FORWARDED_ALLOW_IPS"
"""uvicorn's variable: the proxies whose X-Forwarded-For is believed. Unset, it is none; uvicorn's own default is every
process of this machine."""


class Specification(Protocol):
    """What BentoML makes of a service: its OpenAPI."""

    def asdict(self) -> dict[str, Any]: ...


class Door:
    """One for each process; the file of keys is read where it serves, not where it is built."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._guarded = settings, False

    def check(self) -> None:
        """Raises ConfigurationError where a worker could not start."""
        self._keys()

    def before(self, app: ASGIApp, access_log: AccessLog) -> ASGIApp:
        """The application with the entrance before it, where keys are set. Raises ConfigurationError."""
        from asof.serving.access.header_limits import bound_heads
        from asof.serving.logs.metrics import count_refusals

        os.environ.setdefault(TRUSTED_PROXIES, "")
        refused = count_refusals()
        bound_heads(refused)
        keys = self._keys()
        if keys is None:
            return app
        from asof.serving.access.authentication import Entrance

        self._guarded = True
        return Entrance(app, keys=keys, rates=self._rates(), access_log=access_log, refused=refused)

    def described(self, specification: Specification) -> Specification:
        """The same, and where keys are asked for it says so."""
        if not self._guarded:
            return specification
        from asof.serving.access.security_scheme import Described

        return Described(specification.asdict())

    def _keys(self) -> KeyFile | None:
        if self._settings.api_keys:
            return KeyFile(self._settings.api_keys)
        if self._settings.rate_per_key:
            raise ConfigurationError("ASOF_RATE_PER_KEY says how often a key may ask: set ASOF_API_KEYS too.")
        return None

    def _rates(self) -> Rates | None:
        """This worker's share."""
        rate = self._settings.rate_per_key
        if rate is None:
            return None
        workers = self._settings.workers
        return Rates(rate / workers, (self._settings.rate_burst or 2 * rate) / workers)
