"""Prepares a version of the registry to answer: fetched, verified, loaded, golden rows predicted, features open."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from asof.errors import FeatureStoreUnavailable
from asof.inference.served_model import MLFLOW_FOLDER, ServedModel
from asof.serving.features.store_input import StoreInput
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from asof.serving.following.model_cache import ModelCache
from asof.serving.following.steps import TRANSIENT, VersionRefused, step, wait_for_features
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import FeatureSource, Predictor

logger = logging.getLogger("asof.serving")

LOAD_SECONDS = 120.0


class CandidateLoader:
    """Loads the next predictors of one worker. `load(folder, run_id)` loads a model; it blocks."""

    def __init__(
        self, live: LiveModel, registry: MlflowRegistry, cache: ModelCache, *, load: Callable[[Path, str], ServedModel]
    ) -> None:
        self._live, self._registry, self._cache, self._load = live, registry, cache, load

    async def load(self, version: ProductionVersion) -> Predictor:
        """The version's predictor, from the cache or the registry. An unusable cached copy is fetched again.

        The caller holds the cache's lock. Raises VersionRefused, or a transient error.
        """
        model = await self._load_cached(version)
        if model is None:
            await self._fetch(version)
            model = await self._load_model(version)
        worker = self._live.worker
        lineage = replace(worker.lineage, version=version.version, run_id=version.run_id)
        return Predictor(model, lineage, worker, features=self._shared_features(model))

    async def _load_cached(self, version: ProductionVersion) -> ServedModel | None:
        """The cached model, or None. Raises VersionRefused only where it cannot be fetched again."""
        if not self._cache.model(version).exists():
            return None
        try:
            return await self._load_model(version)
        except VersionRefused as refused:
            if not version.source:
                raise
            logger.warning("The cached copy of version %s is unusable; fetching it again: %s", version.version, refused)
            await asyncio.to_thread(self._cache.remove, version)
            return None

    async def _fetch(self, version: ProductionVersion) -> None:
        with step("fetch", transient=TRANSIENT):
            draft = await asyncio.to_thread(self._cache.draft)
            (draft / MLFLOW_FOLDER).mkdir()
            await self._registry.fetch(version, draft / MLFLOW_FOLDER)
            await asyncio.to_thread(self._cache.add, draft, version)

    async def _load_model(self, version: ProductionVersion) -> ServedModel:
        with step("load"):
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.to_thread(self._load, self._cache.model(version), version.run_id)

    def _shared_features(self, model: ServedModel) -> FeatureSource | None:
        """The open feature source of another predictor with the same contract, if there is one."""
        for each in self._live.predictors:
            if isinstance(each.features, StoreInput) and each.model.facts.contract == model.facts.contract:
                return each.features
        return None

    async def open_features(self, new: Predictor) -> None:
        """Waits until its features can be read. Raises VersionRefused where the store has other features."""
        if self._live.predictor and new.features is self._live.predictor.features:
            return
        own = all(new.features is not each.features for each in self._live.predictors)
        if own:
            new.start()
        try:
            with step("features", transient=(FeatureStoreUnavailable,)):
                await wait_for_features(new)
        except BaseException:
            if own:
                await new.close()
            raise
