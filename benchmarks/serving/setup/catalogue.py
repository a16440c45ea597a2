"""The peers, each started as its documentation says, and our own service in several configurations."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from asof.settings import PROJECT
from benchmarks.serving.setup.peer import Peer
from benchmarks.serving.setup.starting import Server, bento, servers
from benchmarks.serving.setup.world import DEFAULT, FEATURE_SERVICES, FOREST, STOCK_STORE, World

USUAL, USUAL_ONE, EMPTY, ASOF = "usual-all", "usual-one", "empty-bentoml", "asof-forest"
"""The peers to which ours, the last, is compared."""

PEERS = "benchmarks.serving.peers"
FOLDER = PROJECT / "benchmarks" / "serving" / "peers"
VARIANTS = {
    "all": (FOREST, "forest-all", "forest, n_jobs=-1"),
    "one": (FOREST, "forest-one", "forest, n_jobs=1"),
    "default": (DEFAULT, "default", "default model"),
}


def catalogue() -> dict[str, Peer]:
    """All peers by name, in the order of the report."""
    peers = [*_usual(), *_mlflow(), *_feast(), *_guides(), *_ceilings(), *_own()]
    return {peer.name: peer for peer in peers}


def _usual() -> list[Peer]:
    def make(variant: str, model: str) -> Callable[[World], Server]:
        return lambda world: Server(
            "uvicorn", (f"{PEERS}.usual_design:app",), environment=_environment(world, variant, model)
        )

    return [
        Peer(
            f"usual-{key}",
            f"FastAPI + Feast SDK + pyfunc, {title}",
            "usual",
            servers(make(variant, model)),
            model=model,
            probability=lambda answer: answer["probability"],
        )
        for key, (model, variant, title) in VARIANTS.items()
    ]


def _mlflow() -> list[Peer]:
    return [
        Peer(
            f"mlflow-{key}",
            f"mlflow models serve, {title}",
            "part",
            servers(_mlflow_server(variant)),
            forms=(model,),
            model=model,
            probability=lambda answer: answer["predictions"][0][1],
        )
        for key, (model, variant, title) in VARIANTS.items()
        if model == FOREST
    ]


def _mlflow_server(variant: str) -> Callable[[World], Server]:
    # It starts `uvicorn` by name.
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = ("models", "serve", "--env-manager", "local", "--workers", "1", "--model-uri")
    return lambda world: Server("mlflow", (*arguments, world.models[variant]), "/invocations", path)


def _feast_server(_: World) -> Server:
    # By default gunicorn replaces its worker after a thousand requests, which takes four seconds.
    arguments = ("-c", str(PROJECT / "feature_repo"), "serve", "--workers", "1", "--max-requests", "0")
    return Server("feast.cli.cli", arguments, "/get-online-features")


def _feast() -> list[Peer]:
    both = servers(_feast_server, _mlflow_server("forest-one"))
    return [
        Peer("feast", "feast serve (no model)", "part", servers(_feast_server), forms=("feast",)),
        Peer(
            "feast-mlflow",
            "feast serve, then mlflow models serve, forest, n_jobs=1",
            "part",
            both,
            forms=("feast", FOREST),
            model=FOREST,
            probability=lambda answer: answer["predictions"][0][1],
        ),
    ]


def _guides() -> list[Peer]:
    def make(name: str, variant: str, model: str) -> Callable[[World], Server]:
        arguments = ("serve", name, "--working-dir", str(FOLDER))
        return lambda world: Server(
            "bentoml",
            arguments,
            environment=_environment(world, variant, model) | {"BENCHMARK_MODEL": world.imported[variant]},
        )

    guides = [
        Peer(
            f"guide-{key}",
            f"BentoML's guide + Feast SDK, {title}",
            "guide",
            servers(make("bentoml_guide:Guide", variant, model)),
            model=model,
            probability=lambda answer: answer["probability"],
        )
        for key, (model, variant, title) in VARIANTS.items()
    ]
    batchable = Peer(
        "batchable-one",
        f"BentoML batchable + Feast SDK, {VARIANTS['one'][2]}",
        "guide",
        servers(make("bentoml_guide:Batchable", "forest-one", FOREST)),
        forms=("users",),
        model=FOREST,
        probability=lambda answer: answer[0],
    )
    return [*guides, batchable]


def _ceilings() -> list[Peer]:
    def bentoml(name: str) -> Callable[[World], Server]:
        return lambda _: Server("bentoml", ("serve", name, "--working-dir", str(FOLDER)))

    def uvicorn(name: str) -> Callable[[World], Server]:
        return lambda _: Server("uvicorn", (f"{PEERS}.{name}:app", "--no-access-log"))

    return [
        Peer("select", "one prepared SELECT, Starlette", "ceiling", servers(uvicorn("one_select"))),
        Peer(EMPTY, "empty BentoML endpoint", "ceiling", servers(bentoml("empty_bentoml:EmptyEndpoint"))),
        Peer(
            "empty-mounted", "empty route mounted in BentoML", "ceiling", servers(bentoml("empty_bentoml:EmptyMounted"))
        ),
        Peer("empty-starlette", "empty Starlette route", "ceiling", servers(uvicorn("empty_starlette"))),
    ]


def _own() -> list[Peer]:
    forms = [
        (ASOF, "AsOf, forest", FOREST, bento(FOREST)),
        ("asof-default", "AsOf, default model", DEFAULT, bento(DEFAULT)),
        ("asof-forest-stock", "AsOf, forest, stock online store", FOREST, bento(FOREST, store=STOCK_STORE)),
        ("asof-default-stock", "AsOf, default model, stock online store", DEFAULT, bento(DEFAULT, store=STOCK_STORE)),
        ("asof-two", "AsOf, forest, 2 workers", FOREST, bento(FOREST, workers=2)),
        ("asof-default-two", "AsOf, default model, 2 workers", DEFAULT, bento(DEFAULT, workers=2)),
    ]
    return [
        Peer(name, title, "asof", start, model=model, probability=lambda answer: answer["probability"])
        for name, title, model, start in forms
    ]


def _environment(world: World, variant: str, model: str) -> dict[str, str]:
    return {"BENCHMARK_MODEL": world.models[variant], "BENCHMARK_FEATURE_SERVICE": FEATURE_SERVICES[model]}
