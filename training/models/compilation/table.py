"""The converter of each type of scikit-learn, and why some types have none."""

from collections.abc import Callable, Mapping
from typing import Any

from training.models.compilation.boosters import table as boosters
from training.models.compilation.graph import Converters, Graph
from training.models.compilation.predictors import (
    bayes,
    calibration,
    composed,
    ensembles,
    histogram,
    kernels,
    linear,
    links,
)
from training.models.compilation.transformers import bases, composition, encoders, imputers, reduction, scalers

NEIGHBOURS = "it searches all training rows, and their order decides among equal distances"
REASONS: Mapping[str, str] = {
    **dict.fromkeys(("KNeighborsClassifier", "KNeighborsRegressor", "KNNImputer"), NEIGHBOURS),
    **dict.fromkeys(("RadiusNeighborsClassifier", "RadiusNeighborsRegressor"), NEIGHBOURS),
    **dict.fromkeys(("SVC", "NuSVC"), "its probabilities are those of an iteration in libsvm"),
    "QuantileTransformer": "it searches a thousand quantiles, and ONNX has no inverse of the normal distribution",
}


def converters() -> Converters:
    """Those of transformers, classifiers and regressors."""
    parts = {**_transformers(), **_classifiers(), **_regressors(), **_composed(), **boosters.parts()}
    return Converters(parts, {**_scores(), **boosters.scores()}, REASONS)


def _transformers() -> dict[type, Callable[[Graph], None]]:
    from sklearn import compose, decomposition, feature_selection, impute, pipeline, preprocessing
    from sklearn.impute import _iterative  # the public name needs an import that switches it on

    selectors = (
        "SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect VarianceThreshold "
        "SelectFromModel RFE RFECV SequentialFeatureSelector"
    )
    return {
        pipeline.Pipeline: composition.pipeline,
        pipeline.FeatureUnion: composition.union,
        compose.ColumnTransformer: composition.columns,
        impute.SimpleImputer: imputers.impute,
        impute.MissingIndicator: imputers.indicate,
        _iterative.IterativeImputer: imputers.iterate,
        preprocessing.OneHotEncoder: encoders.one_hot,
        preprocessing.OrdinalEncoder: encoders.ordinal,
        preprocessing.TargetEncoder: encoders.target,
        preprocessing.PowerTransformer: scalers.power,
        preprocessing.FunctionTransformer: scalers.function,
        preprocessing.Binarizer: scalers.binarise,
        preprocessing.KBinsDiscretizer: bases.bins,
        preprocessing.PolynomialFeatures: bases.polynomial,
        preprocessing.SplineTransformer: bases.spline,
        preprocessing.Normalizer: reduction.normalise,
        **_all(preprocessing, "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler", scalers.scale),
        **_all(decomposition, "PCA TruncatedSVD FastICA", reduction.project),
        **_all(feature_selection, selectors, reduction.select),
    }


def _classifiers() -> dict[type, Callable[[Graph], None]]:
    from sklearn import discriminant_analysis, dummy, ensemble, linear_model, naive_bayes, neural_network, tree

    return {
        **_all(linear_model, "LogisticRegression LogisticRegressionCV", linear.logistic),
        linear_model.SGDClassifier: linear.by_gradient,
        discriminant_analysis.LinearDiscriminantAnalysis: links.by_scores,
        discriminant_analysis.QuadraticDiscriminantAnalysis: bayes.quadratic,
        naive_bayes.GaussianNB: bayes.gaussian,
        naive_bayes.MultinomialNB: bayes.multinomial,
        naive_bayes.ComplementNB: bayes.complement,
        naive_bayes.BernoulliNB: bayes.bernoulli,
        neural_network.MLPClassifier: linear.perceptron_classifier,
        dummy.DummyClassifier: composed.constant,
        **_all(tree, "DecisionTreeClassifier ExtraTreeClassifier", ensembles.tree_classifier),
        **_all(ensemble, "RandomForestClassifier ExtraTreesClassifier", ensembles.forest_classifier),
        **_all(ensemble, "GradientBoostingClassifier HistGradientBoostingClassifier", links.by_scores),
        ensemble.AdaBoostClassifier: ensembles.adaptive_classifier,
    }


def _regressors() -> dict[type, Callable[[Graph], None]]:
    from sklearn import dummy, ensemble, linear_model, neural_network, svm, tree

    sums = (
        "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV Lars LassoLars OrthogonalMatchingPursuit "
        "BayesianRidge ARDRegression HuberRegressor QuantileRegressor TheilSenRegressor SGDRegressor"
    )
    return {
        **_all(linear_model, sums, linear.number),
        **_all(linear_model, "PoissonRegressor GammaRegressor TweedieRegressor", linear.generalised),
        svm.LinearSVR: linear.number,
        **_all(svm, "SVR NuSVR", kernels.regressor),
        neural_network.MLPRegressor: linear.perceptron_regressor,
        dummy.DummyRegressor: composed.constant,
        **_all(tree, "DecisionTreeRegressor ExtraTreeRegressor", ensembles.tree_regressor),
        **_all(ensemble, "RandomForestRegressor ExtraTreesRegressor", ensembles.forest_regressor),
        ensemble.GradientBoostingRegressor: ensembles.gradient_regressor,
        ensemble.HistGradientBoostingRegressor: histogram.regressor,
        ensemble.AdaBoostRegressor: ensembles.adaptive_regressor,
    }


def _composed() -> dict[type, Callable[[Graph], None]]:
    from sklearn import calibration as of_sklearn
    from sklearn import compose, ensemble, frozen, linear_model, model_selection, multiclass

    return {
        of_sklearn.CalibratedClassifierCV: calibration.calibrated,
        **_all(ensemble, "VotingClassifier VotingRegressor", composed.vote),
        **_all(ensemble, "BaggingClassifier BaggingRegressor", composed.bag),
        **_all(ensemble, "StackingClassifier StackingRegressor", composed.stack),
        multiclass.OneVsRestClassifier: composed.against_rest,
        compose.TransformedTargetRegressor: composed.transformed,
        frozen.FrozenEstimator: composed.inner,
        linear_model.RANSACRegressor: composed.inner,
        model_selection.FixedThresholdClassifier: composed.inner,
    }


def _scores() -> dict[type, Callable[[Graph], str]]:
    from sklearn import discriminant_analysis, ensemble, frozen, linear_model, pipeline, svm

    sums = "LogisticRegression LogisticRegressionCV SGDClassifier RidgeClassifier RidgeClassifierCV Perceptron"
    return {
        **_all(linear_model, sums, linear.scores),
        svm.LinearSVC: linear.scores,
        **_all(svm, "SVC NuSVC", kernels.scores),
        discriminant_analysis.LinearDiscriminantAnalysis: linear.scores,
        ensemble.AdaBoostClassifier: ensembles.adaptive_scores,
        ensemble.GradientBoostingClassifier: ensembles.gradient_scores,
        ensemble.HistGradientBoostingClassifier: histogram.scores,
        frozen.FrozenEstimator: composed.inner_scores,
        pipeline.Pipeline: composition.pipeline_scores,
    }


def _all(module: Any, names: str, converter: Any) -> dict[type, Any]:
    """The same converter for each of these types."""
    return {getattr(module, name): converter for name in names.split()}
