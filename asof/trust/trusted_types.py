"""The types that a model file may contain besides skops' own defaults. The list is the project's, never the artefact's.

skops trusts scikit-learn's public estimators and NumPy arrays; compiled and private parts of the libraries are listed
here. A file with any other type is refused before an object of it is built. Training checks the same list before it
fits, so that no model is trained that the service could not load.
"""

import importlib
import sys
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

from asof.errors import ModelError, UntrustedModel, is_missing_library

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# Plain Python objects: loading restores their attributes and runs no code.
PLAIN = (
    "numpy.dtype",  # SimpleImputer and KBinsDiscretizer: the type of their columns
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.impute._iterative.IterativeImputer",  # public, but experimental
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",  # VotingClassifier and StackingClassifier: their parts by name
)
# Functions of arrays. A file may have them called with arguments of its own, on loading or by a prediction: they
# compute from these, and read, write, import or evaluate nothing. A partial holds a function that must be trusted
# itself, and can do no more than FunctionTransformer with its `kw_args`.
FUNCTIONS = (
    "functools.partial",  # HistGradientBoosting with categorical features: check_array with its options
    "scipy._lib.array_api_compat.numpy._aliases.asarray",  # BSpline
    "sklearn.feature_selection._mutual_info.mutual_info_classif",  # SelectKBest; called by a fit alone
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.feature_selection._univariate_selection.r_regression",
    "sklearn.utils.validation.check_array",
)
# Compiled objects, and Python objects that give their arrays to compiled code. It does not check all indices: a crafted
# file runs no code, but can read beyond an array's end and crash the process. Only files signed by a trusted key are
# loaded (`asof.trust.signed_manifest`).
COMPILED = (
    "scipy.interpolate._bsplines.BSpline",  # SplineTransformer
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
# Models of libraries that only training needs. Loading gives the library the bytes of its own format, which C++ parses
# with the same caveat as above; at most a crafted file has it read another model's file. Functions of a use case's own,
# such as an objective, are other types and stay out.
BOOSTERS = (
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",  # LightGBM: its scores by name
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
# Left out: scorers (`sklearn.metrics._scorer`, of a search within a model), which call any function that they hold, and
# functions of a use case's own, which the service does not have.
TRUSTED_TYPES: tuple[str, ...] = PLAIN + FUNCTIONS + COMPILED + BOOSTERS

UNUSED = ("dask", "pytest")
"""What scikit-learn imports where it is installed, for its adapters of arrays and its own tests."""


@cache
def import_skops() -> Any:
    """skops.io. Its import loads all of scikit-learn, and would load Dask and pytest with it: half of its time."""
    hidden = {name: None for name in UNUSED if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None: Python takes it for not installed
    try:
        return importlib.import_module("skops.io")
    finally:
        for name in hidden:
            sys.modules.pop(name, None)  # another thread may have been here


def untrusted_types(content: bytes) -> list[str]:
    """The types in a skops file that are not on the list, sorted; no object is built.

    Raises BadZipFile, KeyError or ValueError where it is no skops file.
    """
    return sorted(set(import_skops().get_untrusted_types(data=content)) - set(TRUSTED_TYPES))


def load_trusted(content: bytes) -> "BaseEstimator":
    """The estimator in a skops file.

    Raises UntrustedModel where it is none, or has types that are not on the list; ModelError where the library of a
    type is not installed.
    """
    try:
        untrusted = untrusted_types(content)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UntrustedModel(f"The model's file is not a skops file ({error}): train again.") from error
    if untrusted:
        raise UntrustedModel(
            f"The model contains types that are not trusted: {', '.join(untrusted)}. "
            "Train without them, or add them to asof/trust/trusted_types.py after a review."
        )
    try:
        model: BaseEstimator = import_skops().loads(content, trusted=list(TRUSTED_TYPES))
    except (ImportError, OSError) as error:
        if not is_missing_library(error):
            raise
        raise ModelError(f"The model needs a library that is not installed ({error}): install it.") from error
    return model
