"""A worker's parts, put together when it starts: the model that answers, and who follows the registry for it."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asof.inference.served_model import ServedModel, load_model
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Predictor
from asof.serving.prediction.worker import Worker
from asof.trust.signing_keys import TrustedKeys

if TYPE_CHECKING:
    from asof.serving.following.follower import Follower
    from asof.serving.following.mlflow_registry import MlflowRegistry


@dataclass(frozen=True)
class Stored:
    """A model in a Bento: its folder, and where it comes from (`version` is None where it is not registered)."""

    folder: Path
    version: str | None
    run_id: str


def assemble(worker: Worker, own: Stored | None, keys: TrustedKeys) -> LiveModel:
    """The Bento's own model, if it has one, live; not settled where a registry has a say in which one is to answer.

    Raises what `load_model` raises.
    """
    settled = not worker.settings.knows_registry
    if own is None:
        return LiveModel(worker, settled=settled)
    model = load_model(own.folder, worker.use_case, keys, run_id=own.run_id)
    lineage = replace(worker.lineage, version=own.version, run_id=own.run_id)
    return LiveModel(worker, Predictor(model, lineage, worker), settled=settled)


def follower_of(live: LiveModel, keys: TrustedKeys) -> "Follower":
    """Imported here: who does not follow needs no client of HTTP."""
    from asof.serving.following.candidates import CandidateLoader
    from asof.serving.following.follower import Follower
    from asof.serving.following.model_cache import ModelCache
    from asof.serving.following.shared_folder import make_folder

    worker = live.worker
    settings, name = worker.settings, worker.lineage.name
    registry = _registry(live, keys)
    shelf = ModelCache(settings.follow_folder or make_folder(None, name))

    def load(folder: Path, run_id: str) -> ServedModel:
        return load_model(folder, worker.use_case, keys, run_id=run_id)

    candidates = CandidateLoader(live, registry, shelf, load=load)
    return Follower(live, registry, shelf, candidates=candidates)


def origin_of(live: LiveModel, keys: TrustedKeys) -> "asyncio.Task[None]":
    """Asks the registry whether the model is one of its own; to be called inside the event loop."""
    from asof.serving.following.origin import check_origin

    return asyncio.create_task(check_origin(live, _registry(live, keys)))


def _registry(live: LiveModel, keys: TrustedKeys) -> "MlflowRegistry":
    from asof.serving.following.mlflow_registry import MlflowRegistry

    return MlflowRegistry(live.worker.settings.registry, live.worker.lineage.name, keys)
