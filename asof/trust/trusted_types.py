"""The types that a model file may hold besides skops' own defaults. This list is the project's, never the artefact's.

skops writes and reads scikit-learn's public estimators and NumPy arrays by itself; compiled and private parts of the
libraries have to be named here. A file that holds any other type is refused, before anything of it is built. Training
asks the same list before it fits, so that a model which the service could not load is not trained.
"""

import zipfile
from typing import TYPE_CHECKING

from asof.errors import UntrustedModel

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

# Plain Python objects, of which loading restores the attributes and runs nothing.
PLAIN = (
    "numpy.dtype",  # SimpleImputer and KBinsDiscretizer: the type of their columns
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.feature_selection._univariate_selection.f_classif",  # SelectKBest; called by a fit alone
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",  # VotingClassifier and StackingClassifier: their parts by name
)
# Compiled parts. Their arrays hold places in other arrays, which nothing checks: a crafted one can read beyond its end
# and stop the process, though it runs no code. What is loaded is signed by a trusted key
# (`asof.trust.signed_manifest`).
COMPILED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
TRUSTED_TYPES: tuple[str, ...] = PLAIN + COMPILED


def untrusted_types(content: bytes) -> list[str]:
    """The types in the bytes of a skops file that are not on the list, sorted; nothing of the file is built.

    Raises BadZipFile, KeyError or ValueError where it is no such file.
    """
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES))


def load_trusted(content: bytes) -> "ClassifierMixin":
    """The estimator in the bytes of a skops file.

    Raises UntrustedModel where it is no such file, or holds a type that is not on the list; the types are named.
    """
    import skops.io

    try:
        untrusted = untrusted_types(content)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UntrustedModel(f"The model's file is none of skops' ({error}): train it again.") from error
    if untrusted:
        raise UntrustedModel(
            f"The model holds types that are not trusted: {', '.join(untrusted)}. "
            "Train without them, or add them to asof/trust/trusted_types.py after a review."
        )
    return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
