"""For a service that knows a registry but does not follow it: is its model one of that registry's?

Until the first response of the registry no model answers; while the registry is unavailable, the model answers.
"""

import asyncio
import logging

from asof.errors import RegistryUnavailable
from asof.serving.following.mlflow_registry import MlflowRegistry
from asof.serving.prediction.live import LiveModel

logger = logging.getLogger("asof.serving")


async def check_origin(live: LiveModel, registry: MlflowRegistry) -> None:
    """Retries until the registry has responded. Withdraws a model of another registry; the log says why."""
    try:
        known = await _is_known(live, registry)
    finally:
        await registry.close()
    if not known:
        reason = await withdraw(live, registry)
        live.reason = lambda: reason
    live.settled = True


async def withdraw(live: LiveModel, registry: MlflowRegistry) -> str:
    """Withdraws a model that is not of this registry; returns the reason in a sentence."""
    reason = registry.foreign_model(live.lineage.run_id)
    logger.error("%s", reason)
    for each in live.withdraw():
        await each.idle()
        await each.close()
    return reason


async def _is_known(live: LiveModel, registry: MlflowRegistry) -> bool:
    while True:
        try:
            return await registry.has_run(live.lineage.run_id)
        except RegistryUnavailable as error:
            if not live.settled:
                logger.warning("%s Whether it has run %s is not known yet.", error, live.lineage.run_id)
            live.settled = True
        await asyncio.sleep(live.worker.settings.follow_seconds)
