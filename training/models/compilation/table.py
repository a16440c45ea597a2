"""The converter of each type of scikit-learn, and why some have none."""

from collections.abc import Callable
from typing import Any

from training.models.compilation.graph import Converters, Graph
from training.models.compilation.predictors import bayes, calibration, composed, ensembles, linear, links
from training.models.compilation.transformers import bases, composition, encoders, imputers, reduction, scalers


def converters() -> Converters:
    """Those of transformers, classifiers and regressors."""
    return Converters({**_transformers(), **_classifiers(), **_regressors(), **_composed()}, _scores())


def _transformers() -> dict[type, Callable[[Graph], None]]:
    from sklearn import compose, decomposition, feature_selection, impute, pipeline, preprocessing

    selectors = ("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect")
    others = ("VarianceThreshold", "SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector")
    simple = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
    return {
        pipeline.Pipeline: composition.pipeline,
        pipeline.FeatureUnion: composition.union,
        compose.ColumnTransformer: composition.columns,
        impute.SimpleImputer: imputers.impute,
        impute.MissingIndicator: imputers.indicate,
        preprocessing.OneHotEncoder: encoders.one_hot,
        preprocessing.OrdinalEncoder: encoders.ordinal,
        preprocessing.TargetEncoder: encoders.target,
        preprocessing.PowerTransformer: scalers.power,
        preprocessing.FunctionTransformer: scalers.function,
        preprocessing.KBinsDiscretizer: bases.bins,
        preprocessing.PolynomialFeatures: bases.polynomial,
        preprocessing.SplineTransformer: bases.spline,
        preprocessing.Normalizer: reduction.normalise,
        decomposition.PCA: reduction.project,
        decomposition.TruncatedSVD: reduction.project,
        **_named(preprocessing, simple, scalers.scale),
        **_named(feature_selection, selectors + others, reduction.select),
    }


def _classifiers() -> dict[type, Callable[[Graph], None]]:
    from sklearn import discriminant_analysis, dummy, ensemble, linear_model, naive_bayes, neural_network, tree

    return {
        linear_model.LogisticRegression: linear.logistic,
        linear_model.LogisticRegressionCV: linear.logistic,
        linear_model.SGDClassifier: linear.by_gradient,
        discriminant_analysis.LinearDiscriminantAnalysis: links.by_scores,
        naive_bayes.GaussianNB: bayes.gaussian,
        naive_bayes.MultinomialNB: bayes.multinomial,
        naive_bayes.BernoulliNB: bayes.bernoulli,
        neural_network.MLPClassifier: linear.perceptron_classifier,
        dummy.DummyClassifier: composed.constant,
        **_named(tree, ("DecisionTreeClassifier", "ExtraTreeClassifier"), ensembles.tree_classifier),
        **_named(ensemble, ("RandomForestClassifier", "ExtraTreesClassifier"), ensembles.forest_classifier),
        ensemble.AdaBoostClassifier: ensembles.adaptive_classifier,
        ensemble.GradientBoostingClassifier: links.by_scores,
        ensemble.HistGradientBoostingClassifier: links.by_scores,
    }


def _regressors() -> dict[type, Callable[[Graph], None]]:
    from sklearn import dummy, ensemble, linear_model, neural_network, svm, tree

    sums = (
        "LinearRegression",
        "Ridge",
        "RidgeCV",
        "Lasso",
        "LassoCV",
        "ElasticNet",
        "ElasticNetCV",
        "Lars",
        "LassoLars",
    )
    robust = (
        "BayesianRidge",
        "ARDRegression",
        "HuberRegressor",
        "QuantileRegressor",
        "TheilSenRegressor",
        "SGDRegressor",
    )
    generalised = ("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
    return {
        **_named(linear_model, sums + robust, linear.number),
        **_named(linear_model, generalised, linear.generalised),
        svm.LinearSVR: linear.number,
        neural_network.MLPRegressor: linear.perceptron_regressor,
        dummy.DummyRegressor: composed.constant,
        **_named(tree, ("DecisionTreeRegressor", "ExtraTreeRegressor"), ensembles.tree_regressor),
        **_named(ensemble, ("RandomForestRegressor", "ExtraTreesRegressor"), ensembles.forest_regressor),
        ensemble.AdaBoostRegressor: ensembles.adaptive_regressor,
        ensemble.GradientBoostingRegressor: ensembles.gradient_regressor,
        ensemble.HistGradientBoostingRegressor: ensembles.histogram_regressor,
    }


def _composed() -> dict[type, Callable[[Graph], None]]:
    from sklearn import calibration as of_sklearn
    from sklearn import compose, ensemble, frozen, model_selection, multiclass

    inner = ("FixedThresholdClassifier", "TunedThresholdClassifierCV")
    return {
        of_sklearn.CalibratedClassifierCV: calibration.calibrated,
        **_named(ensemble, ("VotingClassifier", "VotingRegressor"), composed.vote),
        **_named(ensemble, ("BaggingClassifier", "BaggingRegressor"), composed.bag),
        **_named(ensemble, ("StackingClassifier", "StackingRegressor"), composed.stack),
        multiclass.OneVsRestClassifier: composed.against_rest,
        compose.TransformedTargetRegressor: composed.transformed,
        frozen.FrozenEstimator: composed.inner,
        **_named(model_selection, inner, composed.inner),
    }


def _scores() -> dict[type, Callable[[Graph], str]]:
    from sklearn import discriminant_analysis, ensemble, frozen, linear_model, pipeline, svm

    sums = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "RidgeClassifier", "RidgeClassifierCV")
    return {
        **_named(linear_model, (*sums, "Perceptron"), linear.scores),
        svm.LinearSVC: linear.scores,
        discriminant_analysis.LinearDiscriminantAnalysis: linear.scores,
        ensemble.AdaBoostClassifier: ensembles.adaptive_scores,
        ensemble.GradientBoostingClassifier: ensembles.gradient_scores,
        ensemble.HistGradientBoostingClassifier: ensembles.histogram_scores,
        frozen.FrozenEstimator: composed.inner_scores,
        pipeline.Pipeline: composition.pipeline_scores,
    }


def _named(module: Any, names: tuple[str, ...], give: Any) -> dict[type, Any]:
    """The same for each of these types."""
    return {getattr(module, name): give for name in names}
