"""The challenger: which version it is, and its model, verified and tried like one that is to answer."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from asof.errors import FeatureStoreUnavailable
from asof.inference.policies import require_same
from asof.inference.served_model import ServedModel, load_model
from asof.ledger.model_record import record_of
from asof.ledger.spool.encoder import Encoder
from asof.model_facts import Lineage
from asof.serving.features.store.opening import read_registered
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from asof.serving.following.model_cache import ModelCache
from asof.serving.following.model_loader import ModelLoader
from asof.serving.following.steps import VersionRefused, step
from asof.serving.shadow.rows import Place, places_of
from asof.settings import Settings
from asof.trust.signing_keys import TrustedKeys
from asof.use_case import FromStore, UseCase

NEWEST = "newest"
RETRY_SECONDS = 300.0
"""After which a refused version is tried again: what is wrong may have been the registered features."""


@dataclass
class Challenger:
    """A version with its model. It knows where its features are in answers of other models, by their ids."""

    version: ProductionVersion
    model: ServedModel
    encoder: Encoder
    _places: dict[int, Mapping[str, Place | None]] = field(default_factory=dict)

    def places(self, describes: Mapping[str, Any]) -> Mapping[str, Place]:
        """Of those features that are there."""
        return {name: place for name, place in self._all(describes).items() if place}

    def lacking(self, describes: Mapping[str, Any]) -> list[str]:
        """The features that are not."""
        return [name for name, place in self._all(describes).items() if place is None]

    def _all(self, describes: Mapping[str, Any]) -> Mapping[str, Place | None]:
        number = describes["id"]
        if number not in self._places:
            self._places[number] = places_of(self.model.facts.contract, describes)
        return self._places[number]


class NoChallenger(Exception):
    """There is no version to shadow with; the text says why."""


class Candidates:
    """Finds and loads the version that ASOF_SHADOW names."""

    def __init__(
        self, settings: Settings, use_case: UseCase, keys: TrustedKeys, registry: MlflowRegistry, cache: ModelCache
    ) -> None:
        self._settings, self._use_case, self._registry, self._cache = settings, use_case, registry, cache
        self._models = ModelLoader(registry, cache, load=partial(_load, use_case=use_case, keys=keys))
        self._refused: tuple[str, float, VersionRefused] | None = None

    async def wanted(self) -> ProductionVersion:
        """Raises NoChallenger, RegistryUnavailable."""
        name = str(self._settings.shadow)
        version, production = await asyncio.gather(self._named(name), self._registry.production_version())
        if version is None:
            which = "no version" if name == NEWEST else f"no version {name}"
            raise NoChallenger(f"{self._use_case.model_name} has {which}: train one, or change ASOF_SHADOW.")
        if production and production.version == version.version:
            raise NoChallenger(f"Version {version.version} is in Production itself.")
        return version

    async def _named(self, name: str) -> ProductionVersion | None:
        return await (self._registry.newest_version() if name == NEWEST else self._registry.version(name))

    async def load(self, version: ProductionVersion, bento: str) -> Challenger:
        """Raises VersionRefused, or a transient error."""
        now = time.monotonic()
        if self._refused and self._refused[0] == version.key and now < self._refused[1]:
            raise self._refused[2]
        try:
            async with self._cache.lock():
                model = await self._models.load(version)
            await self.check(model)
        except VersionRefused as refused:
            self._refused = version.key, now + RETRY_SECONDS, refused
            raise
        lineage = Lineage(self._use_case.model_name, version.version, version.run_id, bento)
        return Challenger(version, model, Encoder(record_of(self._use_case, lineage, model.facts)))

    async def check(self, model: ServedModel) -> None:
        """Raises VersionRefused where the registered features are not those of the model."""
        if isinstance(self._use_case.source, FromStore):
            with step("features", transient=(FeatureStoreUnavailable,)):
                await asyncio.to_thread(_require_registered, self._settings, model)


def _load(folder: Path, run_id: str, *, use_case: UseCase, keys: TrustedKeys) -> ServedModel:
    return load_model(folder, use_case, keys, run_id=run_id)


def _require_registered(settings: Settings, model: ServedModel) -> None:
    contract = model.facts.contract.stored
    require_same(contract, read_registered(settings, contract))
