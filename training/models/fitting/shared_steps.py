"""The steps of a pipeline in a search are fitted once for the same rows, and shared by all candidates with them.

scikit-learn's own cache of steps is on the disk, and hashes rows with joblib: it takes longer than it saves.
"""

import copy
import hashlib
import pickle
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

MAX_BYTES = 128 * 2**20
"""Of the rows whose fits are kept, five folds of 100,000 rows for one of the candidates; later fits are not shared."""


class FittedSteps:
    """The `memory` of a Pipeline: what its fits of steps returned, by the content of all that they were given."""

    def __init__(self) -> None:
        self._fitted: dict[bytes, Any] = {}
        self._room = MAX_BYTES

    def cache(self, fit: Callable[..., Any], ignore: Collection[str] = ()) -> Callable[..., Any]:
        """The function that returns what `fit` returned for the same arguments, but for those to `ignore`."""
        return partial(self._once, fit, ignore)

    def _once(self, fit: Callable[..., Any], ignore: Collection[str], *given: Any, **options: Any) -> Any:
        """A copy of what is kept, since a later step may change rows in place."""
        compared = {name: value for name, value in options.items() if name not in ignore}
        try:
            content = pickle.dumps((given, compared))
        except (pickle.PicklingError, AttributeError, TypeError):  # such as a lambda in a step
            return fit(*given, **options)
        key = hashlib.blake2b(content).digest()
        if key in self._fitted:
            return copy.deepcopy(self._fitted[key])
        fitted = fit(*given, **options)
        self._room -= len(content)
        if self._room >= 0:
            self._fitted[key] = copy.deepcopy(fitted)
        return fitted

    def __deepcopy__(self, memo: object) -> "FittedSteps":
        """Itself: a search clones its pipeline for each candidate, with all parameters."""
        return self


@contextmanager
def shared_steps(estimator: Any) -> Iterator[None]:
    """In the block, the candidates of a search share the fitted steps of its pipeline, if it has no `memory` yet."""
    pipeline: Any = getattr(estimator, "estimator", None)
    if not hasattr(pipeline, "steps") or pipeline.memory is not None:
        yield
        return
    pipeline.set_params(memory=FittedSteps())
    try:
        yield
    finally:
        pipeline.set_params(memory=None)
        if hasattr(estimator, "best_estimator_"):
            estimator.best_estimator_.set_params(memory=None)
