"""A use case's name and a model's tag -> the Bento service. The only file of this room that knows BentoML.

BentoML reads a service class's annotations at run time: no `from __future__ import annotations` here.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.service.openapi.specification import OpenAPISpecification
from bentoml._internal.utils.cattr import bentoml_cattr
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from pydantic import BaseModel, Field
from starlette.middleware import Middleware

from asof import use_cases
from asof.errors import AsOfError
from asof.serving.access.guard import Door
from asof.serving.api.fast_lane import FastLane
from asof.serving.api.load_shedding import Turnstile
from asof.serving.api.metric_paths import Endpoints, OwnPaths
from asof.serving.api.routes import BATCH, PREDICT, create_app
from asof.serving.http.boundary import Boundary
from asof.serving.http.openapi import document
from asof.serving.http.readiness import Readiness
from asof.serving.logs.access_log import AccessLog
from asof.serving.logs.json_log import write_log
from asof.settings import Settings, log_format
from asof.trust.signing_keys import trusted_keys
from asof.use_case import FromStore, UseCase

if TYPE_CHECKING:
    from asof.serving.assembly import Stored

# BentoML's timeout keeps every request's objects alive until it has run out, so it is short; but it answers in a format
# of its own, so it is longer than anything that we wait for.
TIMEOUT = 10.0


class OursFirst(bentoml.Service[Any]):  # type: ignore[misc]
    """BentoML's service with our layers around its own, but for its metrics; and a turnstile around all.

    BentoML puts what is added behind its spans, its log and its timeout.
    """

    def to_asgi(self, is_main: bool = True) -> Any:
        """The application. The fast lane is closed where BentoML's `tracing.sample_rate` picks what to trace."""
        app = super().to_asgi(is_main)
        app.router.redirect_slashes = False  # with the Host that the caller names, and by http
        layers = {layer.cls: layer for layer in app.user_middleware}
        ours = [layers.pop(Boundary), layers.pop(FastLane)]
        if BentoMLContainer.tracing.sample_rate.get():
            ours.pop()
        theirs, place = list(layers.values()), list(layers).index(OpenTelemetryMiddleware)
        counted = [Middleware(Endpoints), *theirs[:place], Middleware(OwnPaths)]
        ((mounted, _, _),) = self.mount_apps
        app.user_middleware = [*counted, *ours, *theirs[place:], Middleware(Readiness, state=mounted.state)]
        for route in app.router.routes:
            if getattr(route, "app", None) is mounted:  # Starlette's mounts take no path with a line break in it
                route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
        turnstile = Turnstile(app, path=PREDICT, state=mounted.state)
        return mounted.state.door.before(turnstile, ours[0].kwargs["access_log"])

    @cached_property
    def openapi_spec(self) -> Any:
        """What /docs.json tells."""
        ((mounted, _, _),) = self.mount_apps
        version = (self.bento and self.bento.tag.version) or "of the checkout"
        described = document(mounted, mounted.state.use_case, version)
        return mounted.state.door.described(bentoml_cattr.structure(described, OpenAPISpecification))


class Arguments(BaseModel):
    """What a Bento is built with: `bentoml build --arg use_case=churn --arg model=streamflow_churn:TAG`.

    Without a use case it is that of ASOF_USE_CASE, and the Bento keeps it; without a model the service follows the
    registry. `trusted_keys` are the public keys whose models it loads, unless ASOF_TRUSTED_KEYS names others.
    """

    use_case: str = Field(default_factory=lambda: Settings().use_case)
    model: str | None = None
    trusted_keys: str = ""


def make_service(arguments: Arguments, surroundings: Callable[[], Mapping[str, str]] = dict) -> "bentoml.Service[Any]":
    """The service of one use case, with one model of the BentoML store or with none of its own.

    `surroundings` are variables of the machine that it starts on; those that are set already count before them.
    """
    write_log(log_format())
    settings = _settings(arguments)
    use_case = use_cases.load(arguments.use_case)
    _keep(arguments)
    app = create_app(use_case)
    app.state.use_case, app.state.door = use_case, Door(settings)

    class PredictionService:
        """Predictions with all that they rest on; see /docs.json."""

        stored = bentoml.models.BentoModel(arguments.model) if arguments.model else None

        def __init__(self) -> None:
            # Imported here: the process that starts the workers needs none of it, and would start it twice as slowly.
            from asof.serving.assembly import assemble
            from asof.serving.prediction.worker import Worker

            self.keys = trusted_keys(settings, arguments.trusted_keys)
            worker = Worker(settings, use_case, bento=_bento())
            self.origin: asyncio.Task[None] | None = None
            self.live = app.state.live = assemble(worker, _own(self.stored), self.keys)

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        @staticmethod
        def deploy() -> None:
            """Once, before the workers start."""
            with _one_sentence():
                os.environ.update({**surroundings(), **os.environ})
                app.state.door.check()
                _prepare(_settings(arguments), arguments, use_case)

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        async def start(self) -> None:
            self.live.start()
            if settings.follow:
                from asof.serving.assembly import follower_of

                app.state.follower = follower_of(self.live, self.keys)
                app.state.follower.start()
            elif settings.knows_registry:
                from asof.serving.assembly import origin_of

                self.origin = origin_of(self.live, self.keys)

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        async def stop(self) -> None:
            if settings.follow:
                await app.state.follower.close()
            if self.origin:
                self.origin.cancel()
            await self.live.close()

    service: bentoml.Service[PredictionService] = bentoml.service(
        service_class=OursFirst,
        name=use_case.model_name,
        workers=settings.workers,
        traffic={"timeout": TIMEOUT},
        logging={"access": {"enabled": False}},  # ours is JSON, and cheaper
    )(PredictionService)
    service.mount_asgi_app(app)
    service.add_asgi_middleware(Boundary, access_log=AccessLog(on=settings.access_log))
    service.add_asgi_middleware(FastLane, lanes={PREDICT: app.state.predict, BATCH: app.state.predict_batch})
    return service


def _settings(arguments: Arguments) -> Settings:
    """A service without a model follows: there is nothing else that it could answer with."""
    settings = Settings()
    return settings if arguments.model else settings.model_copy(update={"follow": "production"})


def _own(model: bentoml.Model | None) -> "Stored | None":
    from asof.serving.assembly import Stored

    if model is None:
        return None
    told = model.info.metadata
    return Stored(Path(model.path), told.get("version"), told["run_id"])


def _prepare(settings: Settings, arguments: Arguments, use_case: UseCase) -> None:
    """The environment of workers that follow names the folder that they share.

    Raises ConfigurationError where something is not set: said once, and not by each worker again and again.
    """
    from asof.serving.following.shared_folder import make_folder

    if isinstance(use_case.source, FromStore):
        settings.database()
    if settings.follow:
        _ = settings.registry, trusted_keys(settings, arguments.trusted_keys)
        os.environ["ASOF_FOLLOW_FOLDER"] = str(make_folder(settings.follow_folder, use_case.model_name))


def _keep(arguments: Arguments) -> None:
    """The Bento that is being built keeps the use case, also where the command that builds it names none."""
    given = BentoMLContainer.bento_arguments.get()
    BentoMLContainer.bento_arguments.set({**given, "use_case": arguments.use_case})


@contextmanager
def _one_sentence() -> Iterator[None]:
    """An error of ours ends `bentoml serve` with its sentence: BentoML would show a traceback."""
    try:
        yield
    except AsOfError as error:
        sys.exit(str(error))


def _bento() -> str:
    context = bentoml.server_context
    return f"{context.bento_name}:{context.bento_version}"
