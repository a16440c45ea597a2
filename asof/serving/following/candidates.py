"""A version of the registry -> a predictor that can answer: fetched, verified, loaded, proven, its features open."""

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
from asof.serving.following.steps import PASSING, Refused, readable, step
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Predictor, Source

logger = logging.getLogger("asof.serving")

LOAD_SECONDS = 120.0


class CandidateLoader:
    """Those who may be the next to answer for one worker. `load` reads the folder of a run's model, and blocks."""

    def __init__(
        self, live: LiveModel, registry: MlflowRegistry, shelf: ModelCache, *, load: Callable[[Path, str], ServedModel]
    ) -> None:
        self._live, self._registry, self._shelf, self._load = live, registry, shelf, load

    async def prepared(self, found: ProductionVersion) -> Predictor:
        """The version, fetched where no worker has done so yet; every byte verified, the golden rows asked.

        A copy that is of no use is fetched anew, where it is known from where: it says nothing of the version. To be
        called alone. Raises Refused, or what says nothing of the version.
        """
        model = await self._copy(found)
        if model is None:
            await self._fetch(found)
            model = await self._loaded(found)
        worker = self._live.worker
        lineage = replace(worker.lineage, version=found.version, run_id=found.run_id)
        return Predictor(model, lineage, worker, features=self._shared_features(model))

    async def _copy(self, found: ProductionVersion) -> ServedModel | None:
        """The model that is on the shelf already, or None."""
        if not self._shelf.model(found).exists():
            return None
        try:
            return await self._loaded(found)
        except Refused as refused:
            if not found.source:
                raise
            logger.warning("The copy of version %s is of no use, it is fetched again: %s", found.version, refused)
            await asyncio.to_thread(self._shelf.forget, found)
            return None

    async def _fetch(self, found: ProductionVersion) -> None:
        with step("fetch", passing=PASSING):
            draft = await asyncio.to_thread(self._shelf.draft)
            (draft / MLFLOW_FOLDER).mkdir()
            await self._registry.fetch(found, draft / MLFLOW_FOLDER)
            await asyncio.to_thread(self._shelf.keep, draft, found)

    async def _loaded(self, found: ProductionVersion) -> ServedModel:
        with step("load"):
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.to_thread(self._load, self._shelf.model(found), found.run_id)

    def _shared_features(self, model: ServedModel) -> Source | None:
        """The open store of a model that takes the same features, if there is one."""
        for each in self._live.predictors:
            if isinstance(each.features, StoreInput) and each.model.facts.contract == model.facts.contract:
                return each.features
        return None

    async def open(self, new: Predictor) -> None:
        """Waits until its features can be read. Raises Refused where the store has others than the model takes."""
        if self._live.predictor and new.features is self._live.predictor.features:
            return
        own = all(new.features is not each.features for each in self._live.predictors)
        if own:
            new.start()
        try:
            with step("features", passing=(FeatureStoreUnavailable,)):
                await readable(new)
        except BaseException:
            if own:
                await new.close()
            raise
