"""A service that does not follow, but knows a registry -> whether its model is one of that registry's.

Until the registry has answered for the first time nobody does; while it is away the model answers.
"""

import asyncio
import logging

from asof.errors import RegistryUnavailable
from asof.serving.following.mlflow_registry import MlflowRegistry
from asof.serving.prediction.live import LiveModel

logger = logging.getLogger("asof.serving")


async def check_origin(live: LiveModel, registry: MlflowRegistry) -> None:
    """Asks until the registry has said it. A model of another registry answers nothing more; the log says why."""
    try:
        known = await _known(live, registry)
    finally:
        await registry.close()
    if not known:
        why = await withdraw(live, registry)
        live.reason = lambda: why
    live.settled = True


async def withdraw(live: LiveModel, registry: MlflowRegistry) -> str:
    """Nobody answers from now on: the model is one of another registry. Gives the sentence that says so."""
    why = registry.stranger(live.lineage.run_id)
    logger.error("%s", why)
    for each in live.withdraw():
        await each.idle()
        await each.close()
    return why


async def _known(live: LiveModel, registry: MlflowRegistry) -> bool:
    while True:
        try:
            return await registry.has_run(live.lineage.run_id)
        except RegistryUnavailable as away:
            if not live.settled:
                logger.warning("%s Whether run %s is one of its own is not known.", away, live.lineage.run_id)
            live.settled = True
        await asyncio.sleep(live.worker.settings.follow_seconds)
