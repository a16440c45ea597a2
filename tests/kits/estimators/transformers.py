"""Transformers, imputers and encoders of scikit-learn, and what becomes of each."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn import decomposition, feature_selection, impute, preprocessing
from sklearn.impute._iterative import IterativeImputer
from sklearn.pipeline import FeatureUnion, make_pipeline

from tests.kits.estimators.problems import (
    COMPILED,
    NEIGHBOURS,
    REFUSED,
    SCIKIT_LEARN,
    Case,
    doubled,
    encode,
    on_numbers,
    on_text,
    scaled,
    small_tree,
)

NOT_LOADED = "which the service does not load"


def transformers() -> Iterator[Case]:
    """Of numbers without missing values."""
    best = feature_selection.SelectKBest
    union = [("scaled", preprocessing.RobustScaler()), ("bins", preprocessing.KBinsDiscretizer(3, encode="ordinal"))]
    positive = preprocessing.MinMaxScaler((1, 2), clip=True)
    known: Mapping[str, Any] = {
        "StandardScaler": preprocessing.StandardScaler(),
        "MinMaxScaler": preprocessing.MinMaxScaler(),
        "MaxAbsScaler": preprocessing.MaxAbsScaler(),
        "RobustScaler": preprocessing.RobustScaler(),
        "PowerTransformer": preprocessing.PowerTransformer(),
        "Normalizer": preprocessing.Normalizer(),
        "Normalizer(norm='max')": preprocessing.Normalizer("max"),
        "Binarizer": preprocessing.Binarizer(threshold=1.0),
        "KBinsDiscretizer": preprocessing.KBinsDiscretizer(4),
        "KBinsDiscretizer(encode='ordinal')": preprocessing.KBinsDiscretizer(4, encode="ordinal"),
        "SplineTransformer": preprocessing.SplineTransformer(n_knots=4),
        "SplineTransformer(degree=2, include_bias=False)": preprocessing.SplineTransformer(
            n_knots=3, degree=2, include_bias=False
        ),
        "PolynomialFeatures": preprocessing.PolynomialFeatures(2),
        "PolynomialFeatures(3, interaction_only=True, include_bias=False)": preprocessing.PolynomialFeatures(
            3, interaction_only=True, include_bias=False
        ),
        "FunctionTransformer(numpy.log1p)": make_pipeline(positive, preprocessing.FunctionTransformer(np.log1p)),
        "PCA": scaled(decomposition.PCA(2)),
        "PCA(whiten=True)": scaled(decomposition.PCA(2, whiten=True)),
        "TruncatedSVD": scaled(decomposition.TruncatedSVD(2)),
        "VarianceThreshold": feature_selection.VarianceThreshold(0.01),
        "SelectKBest(f_classif)": best(k=3),
        "SelectKBest(f_regression)": best(feature_selection.f_regression, k=3),
        "SelectKBest(mutual_info_classif)": best(feature_selection.mutual_info_classif, k=3),
        "SelectKBest(mutual_info_regression)": best(feature_selection.mutual_info_regression, k=3),
        "SelectKBest(chi2)": make_pipeline(positive, best(feature_selection.chi2, k=3)),
        "SelectPercentile": feature_selection.SelectPercentile(percentile=60),
        "SelectFromModel": feature_selection.SelectFromModel(small_tree()),
        "RFE": feature_selection.RFE(small_tree(), n_features_to_select=2),
        "FeatureUnion": FeatureUnion(union, transformer_weights={"bins": 2.0}),
    }
    yield from (Case(title, on_numbers(model), COMPILED) for title, model in known.items())
    quantiles = "QuantileTransformer has no converter: it searches a thousand quantiles, and ONNX has no inverse of the"
    others: Mapping[str, tuple[Any, str]] = {
        "QuantileTransformer": (
            preprocessing.QuantileTransformer(n_quantiles=20),
            f"{SCIKIT_LEARN}{quantiles} normal distribution",
        ),
        "PowerTransformer(method='box-cox')": (
            make_pipeline(positive, preprocessing.PowerTransformer("box-cox")),
            f"{SCIKIT_LEARN}PowerTransformer with method='box-cox', which refuses numbers that are not positive",
        ),
        "SplineTransformer(extrapolation='linear')": (
            preprocessing.SplineTransformer(n_knots=4, extrapolation="linear"),
            f"{SCIKIT_LEARN}SplineTransformer with another extrapolation than 'constant', or with missing values",
        ),
        "FunctionTransformer of another function of NumPy": (
            make_pipeline(positive, preprocessing.FunctionTransformer(np.cbrt)),
            f"{SCIKIT_LEARN}FunctionTransformer of cbrt",
        ),
        "FunctionTransformer of a function of your own": (
            preprocessing.FunctionTransformer(doubled),
            f"{REFUSED}LogisticRegression holds {doubled.__module__}.doubled (step 'columns'), {NOT_LOADED}",
        ),
    }
    yield from (Case(title, on_numbers(model), outcome) for title, (model, outcome) in others.items())


def imputers() -> Iterator[Case]:
    """Of numbers that are missing in places."""
    simple, flags = impute.SimpleImputer, impute.MissingIndicator
    known: Mapping[str, Any] = {
        "SimpleImputer(strategy='mean')": simple(),
        "SimpleImputer(strategy='median')": simple(strategy="median"),
        "SimpleImputer(strategy='most_frequent')": simple(strategy="most_frequent"),
        "SimpleImputer(strategy='constant')": simple(strategy="constant", fill_value=-1.0),
        "SimpleImputer(add_indicator=True)": simple(add_indicator=True),
        "SimpleImputer(missing_values=-1)": make_pipeline(
            simple(strategy="constant", fill_value=-1.0), simple(missing_values=-1.0, add_indicator=True)
        ),
        "MissingIndicator(features='all')": FeatureUnion([("values", simple()), ("flags", flags(features="all"))]),
        "IterativeImputer": IterativeImputer(max_iter=2, random_state=0, skip_complete=True),
    }
    yield from (Case(title, on_numbers(model, imputed=False), COMPILED) for title, model in known.items())
    yield Case(
        "KNNImputer",
        on_numbers(impute.KNNImputer(), imputed=False),
        f"{SCIKIT_LEARN}KNNImputer has no converter: {NEIGHBOURS}",
    )


def encoders() -> Iterator[Case]:
    """Of text."""
    one_hot, ordinal = preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder
    most_frequent = impute.SimpleImputer(strategy="most_frequent", missing_values=None)
    known: Mapping[str, Any] = {
        "OneHotEncoder(handle_unknown='ignore')": one_hot(handle_unknown="ignore"),
        "OneHotEncoder(drop='first', ...)": one_hot(drop="first", handle_unknown="ignore"),
        "OneHotEncoder(min_frequency=..., ...)": one_hot(min_frequency=0.34, handle_unknown="infrequent_if_exist"),
        "OrdinalEncoder(handle_unknown='use_encoded_value', ...)": ordinal(
            handle_unknown="use_encoded_value", unknown_value=-1
        ),
        "TargetEncoder": preprocessing.TargetEncoder(random_state=0),
        "SimpleImputer(strategy='most_frequent') of text": make_pipeline(most_frequent, encode()),
    }
    yield from (Case(title, on_text(model), COMPILED) for title, model in known.items())
    refuses = "it refuses new categories of plan: see OneHotEncoder's handle_unknown"
    yield Case("OneHotEncoder", on_text(one_hot()), SCIKIT_LEARN + refuses)
    yield Case("OrdinalEncoder", on_text(ordinal()), SCIKIT_LEARN + refuses)
