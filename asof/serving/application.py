"""The application of a use case, and our layers around BentoML's.

Only workers import it: the process that starts them, which BentoML has import the service too, starts faster without.
"""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from asof.serving.access.guard import AccessGuard
from asof.serving.api.early_refusal import shed_early
from asof.serving.api.load_shedding import LoadShedding
from asof.serving.api.metric_paths import TrafficMetrics
from asof.serving.api.predict import FastLane
from asof.serving.api.routes import BATCH, OUTCOMES, PREDICT, create_app
from asof.serving.http.boundary import Boundary, Readiness
from asof.serving.http.one_write import join_writes
from asof.serving.logs.access_log import AccessLog
from asof.serving.protocols.routes import Lane, add_protocols
from asof.settings import Settings
from asof.use_case import UseCase


def make_application(use_case: UseCase, settings: Settings, guard: AccessGuard) -> FastAPI:
    """The app of `create_app`, with the other protocols where they are on, and what its layers need in `app.state`."""
    app = create_app(use_case)
    protocols = add_protocols(app, use_case) if settings.other_protocols else None
    app.state.use_case, app.state.guard = use_case, guard
    app.state.lane, app.state.access_log = _lane(app, protocols), AccessLog(on=settings.access_log)
    return app


def with_layers(app: Any, mounted: FastAPI, *, labels: Mapping[str, str], traced: bool) -> Any:
    """BentoML's app with our layers around its own, and its metrics with these labels around them.

    BentoML would put added middleware behind its spans, its log and its timeout. Without the fast lane where `traced`.
    """
    app.router.redirect_slashes = False  # it would redirect to the Host that the caller names, and to http
    state, theirs = mounted.state, app.user_middleware
    first_span = [layer.cls for layer in theirs].index(OpenTelemetryMiddleware)
    app.user_middleware = [*theirs[first_span:], Middleware(Readiness, state=state)]
    for route in app.router.routes:
        if getattr(route, "app", None) is mounted:  # Starlette's mounts do not match a line break in a path
            route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    served: ASGIApp = Boundary(app if traced else FastLane(app, lane=state.lane), access_log=state.access_log)
    for metrics in theirs[:first_span]:
        served = TrafficMetrics(served, bentoml=metrics.cls(app, **metrics.kwargs), labels=labels)
    join_writes()
    shedding = LoadShedding(served, path=PREDICT, state=state)
    guarded = state.guard.wrap(shedding, state.access_log)
    if guarded is shedding:  # no keys to check first
        shed_early(shedding)
    return guarded


def _lane(app: FastAPI, protocols: Lane | None) -> Lane:
    """The endpoint of a path that need not go through BentoML's layers and FastAPI's."""
    state = app.state
    own: Mapping[str, ASGIApp] = {
        PREDICT: state.predict,
        BATCH: state.predict_batch,
        OUTCOMES: state.post_outcomes,
    }
    return (lambda path: own.get(path) or protocols(path)) if protocols else own.get
