"""The peers, each started as its documentation says, and our own service in several configurations."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from asof.settings import PROJECT
from benchmarks.environments.making import MODULE, python_of
from benchmarks.serving.setup.peer import Peer
from benchmarks.serving.setup.starting import Server, bento, beside_redis, fill_redis, servers
from benchmarks.serving.setup.world import DEFAULT, FEATURE_SERVICES, FOREST, STOCK_STORE, World, model_of

USUAL, USUAL_ONE, EMPTY, ASOF = "usual-all", "usual-one", "empty-bentoml", "asof-forest"
"""The peers to which ours, the last, is compared."""

PEERS = "benchmarks.serving.peers"
FOLDER = PROJECT / "benchmarks" / "serving" / "peers"
ALL, ONE = ("forest-all", "forest, n_jobs=-1"), ("forest-one", "forest, n_jobs=1")
VARIANTS = {"all": ALL, "one": ONE, "default": ("default", "default model")}
BOTH = {key: VARIANTS[key] for key in ("one", "default")}

MakeServer = Callable[[World], Server]


def catalogue() -> dict[str, Peer]:
    """All peers by name, in the order of the report."""
    peers = [*_usual(), *_mlflow_and_feast(), *_guides(), *_other_servers(), *_ceilings(), *_own()]
    return {peer.name: peer for peer in peers}


def _usual() -> list[Peer]:
    on_postgres = [
        Peer(
            f"usual-{key}",
            f"FastAPI + Feast SDK + pyfunc, {title}",
            "usual",
            servers(_uvicorn("usual_design", variant)),
            model=model_of(variant),
        )
        for key, (variant, title) in VARIANTS.items()
    ]
    on_redis = [
        Peer(
            f"redis-{key}",
            f"FastAPI + Feast SDK on Redis + pyfunc, {title}",
            "usual",
            beside_redis(servers(_within("redis", _uvicorn("usual_design", variant)))),
            model=model_of(variant),
            prepare=fill_redis,
        )
        for key, (variant, title) in BOTH.items()
    ]
    return [*on_postgres, *on_redis]


def _mlflow_and_feast() -> list[Peer]:
    title, both = "feast serve, then mlflow models serve, forest, n_jobs=1", servers(_feast, _mlflow("forest-one"))
    mlflow: dict[str, Any] = {"model": FOREST, "probability": lambda response: response["predictions"][0][1]}
    alone = [
        Peer(f"mlflow-{key}", f"mlflow models serve, {title}", "part", servers(_mlflow(name)), (FOREST,), **mlflow)
        for key, (name, title) in (("all", ALL), ("one", ONE))
    ]
    return [
        *alone,
        Peer("feast", "feast serve (no model)", "part", servers(_feast), ("feast",)),
        Peer("feast-mlflow", title, "part", both, ("feast", FOREST), **mlflow),
    ]


def _guides() -> list[Peer]:
    guides = [
        Peer(
            f"guide-{key}",
            f"BentoML's guide + Feast SDK, {title}",
            "guide",
            servers(_bentoml("bentoml_guide:Guide", variant)),
            model=model_of(variant),
        )
        for key, (variant, title) in VARIANTS.items()
    ]
    batchable = Peer(
        "batchable-one",
        f"BentoML batchable + Feast SDK, {ONE[1]}",
        "guide",
        servers(_bentoml("bentoml_batchable:Batchable", "forest-one")),
        ("users",),
        model=FOREST,
        probability=lambda response: response[0],
    )
    return [*guides, batchable]


def _other_servers() -> list[Peer]:
    """Servers of environments of their own."""
    python = [
        Peer(
            f"{name}-{key}",
            f"{title} + Feast SDK + pyfunc, {model}",
            "guide",
            servers(_within(name, _module(module, variant))),
            model=model_of(variant),
            prepare=partial(_make, name),
        )
        for name, title, module in (("litserve", "LitServe", "lit_serve"), ("ray", "Ray Serve", "ray_serve"))
        for key, (variant, model) in BOTH.items()
    ]
    mlserver = [
        Peer(
            f"mlserver-{key}",
            f"MLServer, {model} (no lookup)",
            "part",
            servers(_within("mlserver", _module("ml_server", variant, "/v2/models/churn/infer"))),
            (f"v2-{model_of(variant)}",),
            model=model_of(variant),
            probability=lambda response: response["outputs"][0]["data"][1],
            prepare=partial(_make, "mlserver"),
        )
        for key, (variant, model) in BOTH.items()
    ]
    return [*mlserver, *python]


def _ceilings() -> list[Peer]:
    return [
        Peer(name, title, "ceiling", servers(server))
        for name, title, server in (
            ("select", "one prepared SELECT, Starlette", _uvicorn("one_select")),
            (EMPTY, "empty BentoML endpoint", _bentoml("empty_bentoml:EmptyEndpoint")),
            ("empty-mounted", "empty route mounted in BentoML", _bentoml("empty_bentoml:EmptyMounted")),
            ("empty-starlette", "empty Starlette route", _uvicorn("empty_starlette")),
        )
    ]


def _own() -> list[Peer]:
    return [
        Peer(name, title, "asof", start, model=model)
        for name, title, model, start in (
            (ASOF, "AsOf, forest", FOREST, bento(FOREST)),
            ("asof-default", "AsOf, default model", DEFAULT, bento(DEFAULT)),
            ("asof-forest-stock", "AsOf, forest, stock online store", FOREST, bento(FOREST, store=STOCK_STORE)),
            ("asof-default-stock", "AsOf, default model, stock store", DEFAULT, bento(DEFAULT, store=STOCK_STORE)),
            ("asof-two", "AsOf, forest, 2 workers", FOREST, bento(FOREST, workers=2)),
            ("asof-default-two", "AsOf, default model, 2 workers", DEFAULT, bento(DEFAULT, workers=2)),
        )
    ]


def _mlflow(variant: str) -> MakeServer:
    # It starts `uvicorn` by name.
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = ("models", "serve", "--env-manager", "local", "--workers", "1", "--model-uri")
    return lambda world: Server("mlflow", (*arguments, world.models[variant]), "/invocations", path)


def _feast(_: World) -> Server:
    # By default gunicorn replaces its worker after a thousand requests, which takes four seconds.
    arguments = ("-c", str(PROJECT / "feature_repo"), "serve", "--workers", "1", "--max-requests", "0")
    return Server("feast.cli.cli", arguments, "/get-online-features")


def _bentoml(name: str, variant: str = "") -> MakeServer:
    arguments = ("serve", name, "--working-dir", str(FOLDER))
    return lambda world: Server("bentoml", arguments, environment=_environment(variant, world.imported))


def _uvicorn(name: str, variant: str = "") -> MakeServer:
    arguments = (f"{PEERS}.{name}:app", *(() if variant else ("--no-access-log",)))
    return lambda world: Server("uvicorn", arguments, environment=_environment(variant, world.models))


def _module(name: str, variant: str, path: str = "/predict") -> MakeServer:
    return lambda world: Server(f"{PEERS}.{name}", (), path, _environment(variant, world.models))


def _within(name: str, make: MakeServer) -> MakeServer:
    """The server in an environment of its own."""

    def make_within(world: World) -> Server:
        server = make(world)
        return replace(server, module=MODULE, arguments=(name, server.module, *server.arguments))

    return make_within


def _make(name: str, _: World) -> None:
    python_of(name)


def _environment(variant: str, models: Mapping[str, str]) -> dict[str, str]:
    if not variant:
        return {}
    return {"BENCHMARK_MODEL": models[variant], "BENCHMARK_FEATURE_SERVICE": FEATURE_SERVICES[model_of(variant)]}
