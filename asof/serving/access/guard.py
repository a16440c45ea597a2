"""AccessGuard: the limits before the application, from the settings: API keys, rates, header sizes."""

import os
from typing import Any

from starlette.types import ASGIApp

from asof.errors import ConfigurationError
from asof.serving.access.key_file import KeyFile
from asof.serving.access.rate_limits import RateLimiter
from asof.serving.logs.access_log import AccessLog
from asof.settings import Settings

TRUSTED_PROXIES = "FORWARDED_ALLOW_IPS"
"""uvicorn's variable: the proxies whose X-Forwarded-For is trusted. By default we trust none, uvicorn this machine."""


class AccessGuard:
    """One for each process; the file of keys is read by the processes that serve, not while a Bento is built."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._has_keys = settings, False

    def check(self) -> None:
        """Raises ConfigurationError where a worker could not start."""
        self._keys()

    def wrap(self, app: ASGIApp, access_log: AccessLog) -> ASGIApp:
        """The application behind header limits and, where keys are set, authentication. Raises ConfigurationError."""
        from asof.serving.access.header_limits import limit_headers
        from asof.serving.logs.metrics import count_refusals

        os.environ.setdefault(TRUSTED_PROXIES, "")
        refused = count_refusals()
        limit_headers(refused)
        keys = self._keys()
        if keys is None:
            return app
        from asof.serving.access.authentication import Authentication

        self._has_keys = True
        return Authentication(app, keys=keys, rates=self._rates(), access_log=access_log, refused=refused)

    def describe(self, specification: Any) -> Any:
        """BentoML's OpenAPI specification, with the security scheme where keys are set."""
        if not self._has_keys:
            return specification
        from asof.serving.access.security_scheme import SecuredSpecification

        return SecuredSpecification(specification.asdict())

    def _keys(self) -> KeyFile | None:
        if self._settings.api_keys:
            return KeyFile(self._settings.api_keys)
        if self._settings.rate_per_key:
            raise ConfigurationError("ASOF_RATE_PER_KEY limits API keys: set ASOF_API_KEYS too.")
        return None

    def _rates(self) -> RateLimiter | None:
        """With this worker's share of the rate."""
        rate = self._settings.rate_per_key
        if rate is None:
            return None
        workers = self._settings.workers
        return RateLimiter(rate / workers, (self._settings.rate_burst or 2 * rate) / workers)
