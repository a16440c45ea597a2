"""A version of the registry -> its model: fetched, verified, loaded, golden rows predicted."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from asof.inference.served_model import MLFLOW_FOLDER, ServedModel
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from asof.serving.following.model_cache import ModelCache
from asof.serving.following.steps import TRANSIENT, VersionRefused, step

logger = logging.getLogger("asof.serving")

LOAD_SECONDS = 120.0


class ModelLoader:
    """Loads models of one registry through a cache. `load(folder, run_id)` loads one; it blocks."""

    def __init__(
        self, registry: MlflowRegistry, cache: ModelCache, *, load: Callable[[Path, str], ServedModel]
    ) -> None:
        self._registry, self._cache, self._load = registry, cache, load

    async def load(self, version: ProductionVersion) -> ServedModel:
        """The version's model, from the cache or the registry. An unusable cached copy is fetched again.

        The caller holds the cache's lock. Raises VersionRefused, or a transient error.
        """
        model = await self._load_cached(version)
        if model is None:
            await self._fetch(version)
            model = await self._load_model(version)
        return model

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
