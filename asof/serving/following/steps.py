"""The steps that a version must pass before it answers; VersionRefused at the first that fails."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from asof.errors import (
    AsOfError,
    FeatureContractMismatch,
    FeatureStoreUnavailable,
    RegistryUnavailable,
    UntrustedModel,
)
from asof.serving.prediction.predictor import Predictor

OPEN_SECONDS = 30.0
MAX_REASON_LENGTH = 1000

TRANSIENT = (RegistryUnavailable, FeatureStoreUnavailable, OSError)
"""Errors that do not depend on the version: a retry may succeed."""


class VersionRefused(Exception):
    """A version failed a step; the text says why."""

    def __init__(self, step: str, error: Exception) -> None:
        self.step = step
        super().__init__((str(error) if isinstance(error, AsOfError) else repr(error))[:MAX_REASON_LENGTH])


@contextmanager
def step(name: str, transient: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raises VersionRefused for any error of the block other than a transient one."""
    try:
        yield
    except UntrustedModel as error:
        raise VersionRefused("trust", error) from error
    except FeatureContractMismatch as error:
        raise VersionRefused(name, error) from error
    except transient:
        raise
    except Exception as error:
        raise VersionRefused(name, error) from error


async def wait_for_features(new: Predictor) -> None:
    """Returns when its features can be read. Raises FeatureContractMismatch, or FeatureStoreUnavailable after
    OPEN_SECONDS.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OPEN_SECONDS
    while True:
        try:
            await new.check()
        except FeatureContractMismatch:
            raise
        except FeatureStoreUnavailable:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return
