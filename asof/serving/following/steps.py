"""The steps that a version takes before it answers -> Refused at the one that it failed, with the reason."""

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
MOST = 1000
"""Characters of a reason."""

PASSING = (RegistryUnavailable, FeatureStoreUnavailable, OSError)
"""Errors that say nothing of a version: the same may succeed later."""


class Refused(Exception):
    """A version failed a step; the text says why."""

    def __init__(self, step: str, error: Exception) -> None:
        self.step = step
        super().__init__((str(error) if isinstance(error, AsOfError) else repr(error))[:MOST])


@contextmanager
def step(name: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Whatever is raised in the block refuses the version at this step, but for what says nothing of it."""
    try:
        yield
    except UntrustedModel as error:
        raise Refused("trust", error) from error
    except FeatureContractMismatch as error:
        raise Refused(name, error) from error
    except passing:
        raise
    except Exception as error:
        raise Refused(name, error) from error


async def readable(new: Predictor) -> None:
    """Returns when its features can be read. Raises FeatureStoreUnavailable after OPEN_SECONDS; a mismatch at once."""
    loop = asyncio.get_running_loop()
    until = loop.time() + OPEN_SECONDS
    while True:
        try:
            await new.check()
        except FeatureContractMismatch:
            raise
        except FeatureStoreUnavailable:
            if loop.time() > until:
                raise
            await asyncio.sleep(0.2)
        else:
            return
