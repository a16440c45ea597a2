"""The types that a model file may hold besides skops' own defaults. This list is the project's, never the artefact's.

skops writes and reads scikit-learn's public estimators and NumPy arrays by itself; compiled and private parts of the
libraries have to be named here. A file that holds any other type is refused, before anything of it is built.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from asof.errors import ModelError

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

TRUSTED_TYPES: tuple[str, ...] = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


def load_trusted(path: Path) -> "ClassifierMixin":
    """The estimator in a skops file. Raises ModelError, naming the types, where the file holds one not on the list."""
    import skops.io

    if untrusted := set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES):
        raise ModelError(
            f"{path.name} holds types that are not trusted: {', '.join(sorted(untrusted))}. "
            "Train without them, or add them to asof/trusted_types.py after a review."
        )
    return skops.io.load(path, trusted=list(TRUSTED_TYPES))
