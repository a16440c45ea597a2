"""Prepares a version of the registry to answer: loaded, and its features open."""

from dataclasses import replace

from asof.errors import FeatureStoreUnavailable
from asof.inference.served_model import ServedModel
from asof.serving.features.store_input import StoreInput
from asof.serving.following.mlflow_registry import ProductionVersion
from asof.serving.following.model_loader import ModelLoader
from asof.serving.following.steps import step, wait_for_features
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import FeatureSource, Predictor


class CandidateLoader:
    """Loads the next predictors of one worker."""

    def __init__(self, live: LiveModel, models: ModelLoader) -> None:
        self._live, self._models = live, models

    async def load(self, version: ProductionVersion) -> Predictor:
        """The version's predictor. The caller holds the cache's lock. Raises VersionRefused, or a transient error."""
        model = await self._models.load(version)
        worker = self._live.worker
        lineage = replace(worker.lineage, version=version.version, run_id=version.run_id)
        return Predictor(model, lineage, worker, features=self._shared_features(model))

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
