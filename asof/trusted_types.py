"""The types that a model file may hold besides skops' own defaults. This list is the project's, never the artefact's.

skops writes and reads scikit-learn's public estimators and NumPy arrays by itself; compiled and private parts of the
libraries have to be named here. A file that holds any other type is refused, before anything of it is built.
"""

import zipfile
from typing import TYPE_CHECKING

from asof.errors import UntrustedModel

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

TRUSTED_TYPES: tuple[str, ...] = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


def load_trusted(content: bytes) -> "ClassifierMixin":
    """The estimator in the bytes of a skops file.

    Raises UntrustedModel where it is no such file, or holds a type that is not on the list; the types are named.
    """
    import skops.io

    try:
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UntrustedModel(f"The model's file is none of skops' ({error}): train it again.") from error
    if untrusted:
        raise UntrustedModel(
            f"The model holds types that are not trusted: {', '.join(sorted(untrusted))}. "
            "Train without them, or add them to asof/trusted_types.py after a review."
        )
    return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
