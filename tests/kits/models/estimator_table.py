"""Estimators and transformers of scikit-learn, and what becomes of each: the table of docs/estimators.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    compose,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.impute._iterative import IterativeImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from asof.targets import (
    Binary,
    BinaryOutput,
    Multiclass,
    MulticlassOutput,
    Output,
    Regression,
    RegressionOutput,
    Target,
)

COMPILED = "compiled"
SCIKIT_LEARN, REFUSED = "scikit-learn: ", "refused: "
NUMBERS = ["hours", "tickets", "paperless", "delay"]
CLASSES = ("low", "middle", "high")


@dataclass(frozen=True)
class Case:
    """An estimator, or a transformer in a pipeline, and what becomes of it: COMPILED, or one of the others and why."""

    title: str
    model: Any
    outcome: str


@dataclass(frozen=True)
class Problem:
    """A target with labels, and the output of a model of it."""

    name: str
    target: Target
    output: Output
    labels: Any


def rows(count: int = 160) -> pd.DataFrame:
    """Made-up users: text, a boolean, numbers, and a derived number that is missing in places."""
    draw = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "hours": draw.gamma(2.0, 10.0, count),
            "tickets": draw.poisson(1.0, count).astype(float),
            "paperless": (draw.random(count) < 0.6).astype(float),
            "plan": draw.choice(["monthly", "yearly", "not applicable"], count).astype(object),
            "delay": np.where(draw.random(count) < 0.2, np.nan, draw.normal(0.0, 1.0, count)),
        }
    )


ROWS = rows()
SCORE = ROWS["hours"] / 10 + ROWS["tickets"] + (ROWS["plan"] == "monthly") + ROWS["delay"].fillna(0.0)
TWO = Problem("two", Binary(("stays", "leaves")), BinaryOutput(0.5), (SCORE.median() < SCORE).to_numpy().astype(int))
SEVERAL = Problem(
    "several", Multiclass(CLASSES), MulticlassOutput(CLASSES), np.digitize(SCORE, SCORE.quantile([0.3, 0.7]))
)
NUMBER = Problem("number", Regression("hours"), RegressionOutput("hours", 1.0, 0.9), np.exp(SCORE.to_numpy() / 3))


def encode() -> Any:
    return preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def on_all_columns(model: Any) -> Pipeline:
    """The estimator behind encoded text and imputed numbers, not scaled: the last digit decides about a split."""
    columns = compose.make_column_transformer((encode(), ["plan"]), (impute.SimpleImputer(), NUMBERS))
    return Pipeline([("columns", columns), ("model", model)])


def scaled(model: Any) -> Pipeline:
    return make_pipeline(preprocessing.StandardScaler(), model)


def on_numbers(transformer: Any, *, imputed: bool = True) -> Pipeline:
    """The transformer of numbers, imputed before or by itself, in front of a logistic regression."""
    numbers = make_pipeline(impute.SimpleImputer(), transformer) if imputed else transformer
    columns = compose.make_column_transformer((encode(), ["plan"]), (numbers, NUMBERS))
    return Pipeline([("columns", columns), ("scale", preprocessing.MaxAbsScaler()), ("model", logistic())])


def on_text(transformer: Any) -> Pipeline:
    """The transformer of a text, in front of a logistic regression."""
    columns = compose.make_column_transformer((transformer, ["plan"]), (impute.SimpleImputer(), NUMBERS))
    return Pipeline([("columns", columns), ("scale", preprocessing.MaxAbsScaler()), ("model", logistic())])


def logistic() -> Any:
    return linear_model.LogisticRegression(max_iter=500)


def small_tree() -> Any:
    return tree.DecisionTreeClassifier(max_depth=3, random_state=0)


def regression_tree() -> Any:
    return tree.DecisionTreeRegressor(max_depth=3, random_state=0)


def doubled(values: Any) -> Any:
    """A function of a use case's own."""
    return values * 2


NEIGHBOURS = "it searches all training rows, and their order decides among equal distances"
NO_PROBABILITIES = "{} gives no probabilities (predict_proba): wrap it in CalibratedClassifierCV."
NOT_LOADED = "which the service does not load"


def classifiers() -> Iterator[Case]:
    """For two classes and for several."""
    parts = [("regression", logistic()), ("tree", small_tree())]
    mixed = [("margins", svm.LinearSVC()), ("bayes", scaled(naive_bayes.GaussianNB()))]
    hidden = {"max_iter": 20, "random_state": 0}
    known: Mapping[str, Any] = {
        "LogisticRegression": logistic(),
        "LogisticRegressionCV": scaled(linear_model.LogisticRegressionCV(Cs=2, cv=2)),
        "SGDClassifier(loss='log_loss')": scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        "SGDClassifier(loss='modified_huber')": scaled(
            linear_model.SGDClassifier(loss="modified_huber", random_state=0)
        ),
        "LinearDiscriminantAnalysis": discriminant_analysis.LinearDiscriminantAnalysis(),
        "QuadraticDiscriminantAnalysis": discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
        "GaussianNB": naive_bayes.GaussianNB(),
        "BernoulliNB": naive_bayes.BernoulliNB(),
        "MultinomialNB": make_pipeline(preprocessing.MinMaxScaler(clip=True), naive_bayes.MultinomialNB()),
        "ComplementNB": make_pipeline(preprocessing.MinMaxScaler(clip=True), naive_bayes.ComplementNB()),
        "DecisionTreeClassifier": small_tree(),
        "ExtraTreeClassifier": tree.ExtraTreeClassifier(max_depth=3, random_state=0),
        "RandomForestClassifier": ensemble.RandomForestClassifier(6, random_state=0),
        "ExtraTreesClassifier": ensemble.ExtraTreesClassifier(6, random_state=0),
        "GradientBoostingClassifier": ensemble.GradientBoostingClassifier(n_estimators=5),
        "GradientBoostingClassifier(init='zero')": ensemble.GradientBoostingClassifier(n_estimators=5, init="zero"),
        "HistGradientBoostingClassifier": ensemble.HistGradientBoostingClassifier(max_iter=5),
        "HistGradientBoostingClassifier(categorical_features=...)": ensemble.HistGradientBoostingClassifier(
            max_iter=5, categorical_features=[0, 4]
        ),
        "AdaBoostClassifier": ensemble.AdaBoostClassifier(n_estimators=5),
        "BaggingClassifier": ensemble.BaggingClassifier(n_estimators=3, max_features=0.7, random_state=0),
        "VotingClassifier(voting='soft')": ensemble.VotingClassifier(parts, voting="soft", weights=[1, 3]),
        "StackingClassifier": ensemble.StackingClassifier(parts, cv=2),
        "StackingClassifier(passthrough=True)": ensemble.StackingClassifier(mixed, cv=2, passthrough=True),
        "CalibratedClassifierCV(method='sigmoid')": calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2),
        "CalibratedClassifierCV(method='isotonic')": calibration.CalibratedClassifierCV(
            small_tree(), cv=2, method="isotonic"
        ),
        "CalibratedClassifierCV(method='temperature')": calibration.CalibratedClassifierCV(
            logistic(), cv=2, method="temperature"
        ),
        "CalibratedClassifierCV(method='temperature') of a forest": calibration.CalibratedClassifierCV(
            ensemble.RandomForestClassifier(3, random_state=0), cv=2, method="temperature"
        ),
        "CalibratedClassifierCV(ensemble=False)": calibration.CalibratedClassifierCV(
            scaled(linear_model.RidgeClassifier()), cv=2, ensemble=False
        ),
        "OneVsRestClassifier": multiclass.OneVsRestClassifier(logistic()),
        "MLPClassifier": scaled(neural_network.MLPClassifier((6, 4), **hidden)),
        "MLPClassifier(activation='tanh', solver='lbfgs')": scaled(
            neural_network.MLPClassifier(4, activation="tanh", solver="lbfgs", **hidden)
        ),
        "MLPClassifier(activation='logistic', solver='sgd')": scaled(
            neural_network.MLPClassifier(4, activation="logistic", solver="sgd", **hidden)
        ),
        "DummyClassifier": dummy.DummyClassifier(),
    }
    yield from (Case(title, on_all_columns(model), COMPILED) for title, model in known.items())
    others: Mapping[str, tuple[Any, str]] = {
        "KNeighborsClassifier": (
            scaled(neighbors.KNeighborsClassifier()),
            f"{SCIKIT_LEARN}KNeighborsClassifier has no converter: {NEIGHBOURS}",
        ),
        "KNeighborsClassifier(algorithm='ball_tree', p=1)": (
            scaled(neighbors.KNeighborsClassifier(algorithm="ball_tree", p=1)),
            f"{SCIKIT_LEARN}KNeighborsClassifier has no converter: {NEIGHBOURS}",
        ),
        "SVC(probability=True)": (
            scaled(svm.SVC(probability=True)),
            f"{SCIKIT_LEARN}SVC has no converter: its probabilities are those of an iteration in libsvm",
        ),
        "GradientBoostingClassifier(init=...)": (
            ensemble.GradientBoostingClassifier(n_estimators=2, init=logistic()),
            f"{SCIKIT_LEARN}GradientBoostingClassifier with an init of its own",
        ),
        "AdaBoostClassifier of another model than a tree": (
            ensemble.AdaBoostClassifier(logistic(), n_estimators=2),
            f"{SCIKIT_LEARN}AdaBoostClassifier of LogisticRegression",
        ),
        "BaggingClassifier of a model without probabilities": (
            ensemble.BaggingClassifier(svm.LinearSVC(), n_estimators=2, random_state=0),
            f"{SCIKIT_LEARN}LinearSVC has no converter",
        ),
        "SVC": (scaled(svm.SVC()), REFUSED + NO_PROBABILITIES.format("SVC")),
        "LinearSVC": (svm.LinearSVC(), REFUSED + NO_PROBABILITIES.format("LinearSVC")),
        "RidgeClassifier": (linear_model.RidgeClassifier(), REFUSED + NO_PROBABILITIES.format("RidgeClassifier")),
        "Perceptron": (linear_model.Perceptron(), REFUSED + NO_PROBABILITIES.format("Perceptron")),
        "SGDClassifier(loss='hinge')": (
            linear_model.SGDClassifier(),
            REFUSED + NO_PROBABILITIES.format("SGDClassifier"),
        ),
        "VotingClassifier(voting='hard')": (
            ensemble.VotingClassifier(parts),
            f"{REFUSED}VotingClassifier gives no probabilities (predict_proba): set voting='soft'.",
        ),
        "OneVsOneClassifier": (
            multiclass.OneVsOneClassifier(logistic()),
            REFUSED + NO_PROBABILITIES.format("OneVsOneClassifier"),
        ),
    }
    yield from (Case(title, on_all_columns(model), outcome) for title, (model, outcome) in others.items())


def of_two_classes() -> Iterator[Case]:
    """Those that differ for several classes, or do not take them."""
    yield Case(
        "CalibratedClassifierCV(SVC()), two classes",
        on_all_columns(scaled(calibration.CalibratedClassifierCV(svm.SVC(), cv=2))),
        COMPILED,
    )
    yield Case(
        "FixedThresholdClassifier",
        on_all_columns(model_selection.FixedThresholdClassifier(logistic())),
        COMPILED,
    )
    yield Case(
        "TunedThresholdClassifierCV",
        on_all_columns(model_selection.TunedThresholdClassifierCV(logistic(), cv=2)),
        f"{REFUSED}TunedThresholdClassifierCV holds sklearn.metrics._classification.balanced_accuracy_score",
    )


def of_several_classes() -> Iterator[Case]:
    """Those that differ for two."""
    yield Case(
        "CalibratedClassifierCV(SVC()), several classes",
        on_all_columns(scaled(calibration.CalibratedClassifierCV(svm.SVC(), cv=2))),
        f"{SCIKIT_LEARN}SVC of several classes",
    )


def regressors() -> Iterator[Case]:
    """For a number."""
    parts = [("sum", linear_model.Ridge()), ("tree", regression_tree())]
    sums = (
        "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV Lars LassoLars OrthogonalMatchingPursuit "
        "BayesianRidge ARDRegression HuberRegressor QuantileRegressor SGDRegressor PoissonRegressor GammaRegressor "
        "TweedieRegressor RANSACRegressor"
    )
    known: Mapping[str, Any] = {
        **{name: scaled(getattr(linear_model, name)()) for name in sums.split()},
        "TheilSenRegressor": linear_model.TheilSenRegressor(max_subpopulation=20, random_state=0),
        "TweedieRegressor(power=1.5)": scaled(linear_model.TweedieRegressor(power=1.5)),
        "DecisionTreeRegressor": regression_tree(),
        "ExtraTreeRegressor": tree.ExtraTreeRegressor(max_depth=3, random_state=0),
        "RandomForestRegressor": ensemble.RandomForestRegressor(6, random_state=0),
        "ExtraTreesRegressor": ensemble.ExtraTreesRegressor(6, random_state=0),
        "GradientBoostingRegressor": ensemble.GradientBoostingRegressor(n_estimators=5),
        "GradientBoostingRegressor(loss='quantile')": ensemble.GradientBoostingRegressor(
            n_estimators=5, loss="quantile"
        ),
        "HistGradientBoostingRegressor": ensemble.HistGradientBoostingRegressor(max_iter=5),
        "HistGradientBoostingRegressor(loss='gamma')": ensemble.HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
        "HistGradientBoostingRegressor(categorical_features=...)": ensemble.HistGradientBoostingRegressor(
            max_iter=5, categorical_features=[0, 4]
        ),
        "AdaBoostRegressor": ensemble.AdaBoostRegressor(n_estimators=5, random_state=0),
        "BaggingRegressor": ensemble.BaggingRegressor(n_estimators=3, max_features=0.7, random_state=0),
        "VotingRegressor": ensemble.VotingRegressor(parts, weights=[1, 2]),
        "StackingRegressor": ensemble.StackingRegressor(parts, cv=2, passthrough=True),
        "MLPRegressor": scaled(neural_network.MLPRegressor(hidden_layer_sizes=(6,), max_iter=20, random_state=0)),
        "MLPRegressor(loss='poisson')": scaled(
            neural_network.MLPRegressor(loss="poisson", hidden_layer_sizes=(6,), max_iter=20, random_state=0)
        ),
        "LinearSVR": scaled(svm.LinearSVR()),
        "SVR": scaled(svm.SVR()),
        "NuSVR(kernel='linear')": scaled(svm.NuSVR(kernel="linear")),
        "TransformedTargetRegressor(func=numpy.log1p, inverse_func=numpy.expm1)": compose.TransformedTargetRegressor(
            linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
        ),
        "TransformedTargetRegressor(transformer=StandardScaler())": compose.TransformedTargetRegressor(
            linear_model.Ridge(), transformer=preprocessing.StandardScaler()
        ),
        "DummyRegressor": dummy.DummyRegressor(),
    }
    yield from (Case(title, on_all_columns(model), COMPILED) for title, model in known.items())
    others: Mapping[str, tuple[Any, str]] = {
        "KNeighborsRegressor": (
            scaled(neighbors.KNeighborsRegressor()),
            f"{SCIKIT_LEARN}KNeighborsRegressor has no converter: {NEIGHBOURS}",
        ),
        "TransformedTargetRegressor of another transformer": (
            compose.TransformedTargetRegressor(
                linear_model.Ridge(), transformer=preprocessing.QuantileTransformer(n_quantiles=20)
            ),
            f"{SCIKIT_LEARN}TransformedTargetRegressor with QuantileTransformer",
        ),
        "AdaBoostRegressor of another model than a tree": (
            ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=2, random_state=0),
            f"{SCIKIT_LEARN}AdaBoostRegressor of Ridge",
        ),
    }
    yield from (Case(title, on_all_columns(model), outcome) for title, (model, outcome) in others.items())


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


SECTIONS: Mapping[str, tuple[Case, ...]] = {
    "Classifiers": (*classifiers(), *of_two_classes(), *of_several_classes()),
    "Regressors": tuple(regressors()),
    "Imputers": tuple(imputers()),
    "Encoders of text": tuple(encoders()),
    "Transformers of numbers": tuple(transformers()),
}


OF_ONE_TARGET = {case.title: TWO for case in of_two_classes()} | {case.title: SEVERAL for case in of_several_classes()}


def problems(section: str, case: Case) -> tuple[Problem, ...]:
    """The targets for which the outcome of a case holds."""
    if section == "Regressors":
        return (NUMBER,)
    return (OF_ONE_TARGET[case.title],) if case.title in OF_ONE_TARGET else (TWO, SEVERAL)


def markdown() -> str:
    """The sections as Markdown: each estimator and what becomes of it."""
    parts = []
    for section, listed in SECTIONS.items():
        lines = [f"| `{each.title}` | {each.outcome.replace('|', ' ')} |" for each in listed]
        parts.append("\n".join([f"## {section}", "", "| Estimator | What becomes of it |", "|---|---|", *lines, ""]))
    return "\n".join(parts)
