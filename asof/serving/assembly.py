"""Puts a worker's parts together when it starts: the model that answers, and the follower of the registry."""

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
    from asof.serving.shadow.supervisor import Shadow


@dataclass(frozen=True)
class StoredModel:
    """A model in a Bento; `version` is None where it is not registered."""

    folder: Path
    version: str | None
    run_id: str


def assemble(worker: Worker, stored: StoredModel | None, keys: TrustedKeys) -> LiveModel:
    """A LiveModel with the Bento's model, if it has one; not settled where the registry may name another one.

    Raises what `load_model` raises.
    """
    settled = not worker.settings.knows_registry
    if stored is None:
        return LiveModel(worker, settled=settled)
    model = load_model(stored.folder, worker.use_case, keys, run_id=stored.run_id)
    lineage = replace(worker.lineage, version=stored.version, run_id=stored.run_id)
    return LiveModel(worker, Predictor(model, lineage, worker), settled=settled)


def follower_of(live: LiveModel, keys: TrustedKeys) -> "Follower":
    """The follower of the registry. Imported here: a service that does not follow needs no HTTP client."""
    from asof.serving.following.candidates import CandidateLoader
    from asof.serving.following.follower import Follower
    from asof.serving.following.model_cache import ModelCache
    from asof.serving.following.model_loader import ModelLoader
    from asof.serving.following.shared_folder import make_folder

    worker = live.worker
    settings, name = worker.settings, worker.lineage.name
    registry = _registry(live, keys)
    cache = ModelCache(settings.follow_folder or make_folder(None, name))

    def load(folder: Path, run_id: str) -> ServedModel:
        return load_model(folder, worker.use_case, keys, run_id=run_id)

    candidates = CandidateLoader(live, ModelLoader(registry, cache, load=load))
    return Follower(live, registry, cache, candidates=candidates)


def shadow_of(worker: Worker, bentos_keys: str) -> "Shadow":
    """What keeps the challenger's process running; `bentos_keys` are the Bento's trusted keys."""
    from asof.serving.following.shared_folder import make_folder
    from asof.serving.shadow.supervisor import Shadow, cache_folder

    settings, name = worker.settings, worker.lineage.name
    cache = cache_folder(settings.follow_folder or make_folder(None, name))
    arguments = [worker.use_case.name, "--bento", worker.lineage.bento, "--cache", str(cache)]
    return Shadow(settings, name, [*arguments, "--keys", bentos_keys])


def origin_of(live: LiveModel, keys: TrustedKeys) -> "asyncio.Task[None]":
    """Starts to ask the registry whether it has the model; call it inside the event loop."""
    from asof.serving.following.origin import check_origin

    return asyncio.create_task(check_origin(live, _registry(live, keys)))


def _registry(live: LiveModel, keys: TrustedKeys) -> "MlflowRegistry":
    from asof.serving.following.mlflow_registry import MlflowRegistry

    return MlflowRegistry(live.worker.settings.registry, live.worker.lineage.name, keys)
