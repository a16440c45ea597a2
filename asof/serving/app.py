"""The BentoML service of a use case and perhaps a model. The only file of `asof.serving` that imports BentoML.

BentoML reads a service class's annotations at run time: no `from __future__ import annotations` here.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from pydantic import BaseModel, Field

from asof import use_cases
from asof.errors import AsOfError, ConfigurationError
from asof.serving.access.guard import AccessGuard
from asof.serving.logs.json_log import configure_logging
from asof.settings import Settings, log_format
from asof.trust.signing_keys import trusted_keys
from asof.use_case import FromStore, UseCase

if TYPE_CHECKING:
    from fastapi import FastAPI

    from asof.serving.assembly import StoredModel
    from asof.serving.prediction.live import LiveModel

TIMEOUT = 10.0
"""Seconds, BentoML's timeout. It keeps each request's objects alive until it has elapsed, so it is short; it answers in
a format of its own, so it is longer than our own timeouts."""

START_TIMEOUT = 5.0
"""Seconds for which a starting worker that is not ready leaves all connections to the other workers."""


class AsOfService(bentoml.Service[Any]):  # type: ignore[misc]
    """BentoML's service with our layers around its application, and its metrics around them.

    BentoML would put added middleware behind its spans, its log and its timeout.
    """

    create: Callable[[], "FastAPI"]

    @cached_property
    def application(self) -> "FastAPI":
        """Made when it is needed: the process that starts the workers, and imports this too, needs none."""
        app = self.create()
        self.mount_asgi_app(app)
        return app

    def to_asgi(self, is_main: bool = True) -> Any:
        """The application. It has no fast lane where BentoML's `tracing.sample_rate` selects requests to trace."""
        from asof.serving.application import with_layers

        mounted, app = self.application, super().to_asgi(is_main)  # which reads BentoML's configuration
        return with_layers(app, mounted, labels=_labels(), traced=bool(BentoMLContainer.tracing.sample_rate.get()))

    def schema(self) -> dict[str, Any]:
        """The content of /schema.json, of which BentoML's clients make their methods."""
        from asof.serving.api.client_routes import client_routes

        use_case = self.application.state.use_case
        return {**super().schema(), "routes": client_routes(use_case)}

    @cached_property
    def openapi_spec(self) -> Any:
        """The content of /docs.json."""
        from bentoml._internal.service.openapi.specification import OpenAPISpecification
        from bentoml._internal.utils.cattr import bentoml_cattr

        from asof.serving.http.openapi import document

        state = self.application.state
        version = (self.bento and self.bento.tag.version) or "of the checkout"
        specification = document(self.application, state.use_case, version)
        return state.guard.describe(bentoml_cattr.structure(specification, OpenAPISpecification))


def _default_use_case() -> str:
    try:
        return use_cases.default_name()
    except AsOfError as error:  # BentoML would print a traceback
        sys.exit(str(error))


class Arguments(BaseModel):
    """The arguments of a Bento: `bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG`.

    The default use case is that of ASOF_USE_CASE at build time, or the only one. Without a model the service follows
    the registry. `trusted_keys` are the public keys whose models it loads, unless ASOF_TRUSTED_KEYS names others.
    """

    use_case: str = Field(default_factory=_default_use_case)
    model: str | None = None
    trusted_keys: str = ""


def make_service(arguments: Arguments, defaults: Callable[[], Mapping[str, str]] = dict) -> AsOfService:
    """The service of one use case, with a model of the BentoML store or none of its own.

    `defaults` returns environment variables that are set at the start, unless they are set already.
    """
    configure_logging(log_format())
    settings = _settings(arguments)
    use_case = use_cases.load(arguments.use_case)
    _save_use_case(arguments)
    guard = AccessGuard(settings)

    class PredictionService:
        """Predictions with their lineage and evidence; see /docs.json."""

        stored = bentoml.models.BentoModel(arguments.model) if arguments.model else None

        def __init__(self) -> None:
            # Imported here: the process that starts the workers does not need it, and starts twice as fast without.
            from asof.serving.assembly import assemble
            from asof.serving.prediction.worker import Worker

            self.keys = trusted_keys(settings, arguments.trusted_keys)
            context = bentoml.server_context
            worker = Worker(settings, use_case, bento=f"{context.bento_name}:{context.bento_version}")
            self.origin: asyncio.Task[None] | None = None
            self.live = service.application.state.live = assemble(worker, _stored_model(self.stored), self.keys)

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        @staticmethod
        def deploy() -> None:
            """Runs once, before the workers start."""
            try:
                os.environ.update({**defaults(), **os.environ})
                guard.check()
                _prepare(_settings(arguments), arguments, use_case)
            except AsOfError as error:  # BentoML would print a traceback
                sys.exit(str(error))

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        async def start(self) -> None:
            self.live.start()
            self.live.worker.ledger.start()
            _start_shadow(service.application, self.live, arguments)
            if settings.follow:
                from asof.serving.assembly import follower_of

                follower = service.application.state.follower = follower_of(self.live, self.keys)
                follower.start()
            elif settings.knows_registry:
                from asof.serving.assembly import origin_of

                self.origin = origin_of(self.live, self.keys)
            await self.live.wait_until_ready(START_TIMEOUT)

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        async def stop(self) -> None:
            if settings.follow:
                await service.application.state.follower.close()
            if self.origin:
                self.origin.cancel()
            await self.live.close()
            self.live.worker.ledger.close()
            _close_shadow(service.application)

    service: AsOfService = bentoml.service(
        service_class=AsOfService,
        name=use_case.model_name,
        workers=settings.workers,
        traffic={"timeout": TIMEOUT},
        logging={"access": {"enabled": False}},  # ours is JSON, and cheaper
    )(PredictionService)
    service.create = partial(_make_application, use_case, settings, guard)
    return service


def _make_application(*parts: Any) -> "FastAPI":
    from asof.serving.application import make_application

    return make_application(*parts)


def _labels() -> Mapping[str, str]:
    """The labels of this service in BentoML's metrics."""
    context = bentoml.server_context
    return {
        "service_name": context.bento_name,
        "service_version": context.bento_version,
        "runner_name": context.service_name,
    }


def _settings(arguments: Arguments) -> Settings:
    """The settings; a service without a model follows the registry in any case."""
    settings = Settings()
    return settings if arguments.model else settings.model_copy(update={"follow": "production"})


def _stored_model(model: bentoml.Model | None) -> "StoredModel | None":
    from asof.serving.assembly import StoredModel

    if model is None:
        return None
    metadata = model.info.metadata
    return StoredModel(Path(model.path), metadata.get("version"), metadata["run_id"])


def _start_shadow(app: "FastAPI", live: "LiveModel", arguments: Arguments) -> None:
    if live.worker.settings.shadow:
        from asof.serving.assembly import shadow_of

        app.state.shadow = shadow_of(live.worker, arguments.trusted_keys)
        app.state.shadow.start()


def _close_shadow(app: "FastAPI") -> None:
    if shadow := getattr(app.state, "shadow", None):
        shadow.close()


def _prepare(settings: Settings, arguments: Arguments, use_case: UseCase) -> None:
    """Creates the folder that following workers share, and names it in their environment.

    Raises ConfigurationError where something is not set: once, before each worker would.
    """
    from asof.serving.following.shared_folder import make_folder

    if isinstance(use_case.source, FromStore):
        settings.database()
        settings.replicas()
    if settings.lookups_from == "replicas" and settings.postgres_read_urls is None:
        raise ConfigurationError("ASOF_LOOKUPS_FROM=replicas needs replicas: set ASOF_POSTGRES_READ_URLS, too.")
    if settings.shadow and settings.ledger == "off":
        raise ConfigurationError("ASOF_SHADOW scores the answers that the ledger keeps: set ASOF_LEDGER=process, too.")
    if settings.follow or settings.shadow:
        _ = settings.registry, trusted_keys(settings, arguments.trusted_keys)
        os.environ["ASOF_FOLLOW_FOLDER"] = str(make_folder(settings.follow_folder, use_case.model_name))


def _save_use_case(arguments: Arguments) -> None:
    """Adds the use case to the arguments that a Bento keeps, for the case that it is the default."""
    saved = BentoMLContainer.bento_arguments.get()
    BentoMLContainer.bento_arguments.set({**saved, "use_case": arguments.use_case})
