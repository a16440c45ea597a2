"""Classifiers of scikit-learn, and what becomes of each."""

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn import (
    calibration,
    discriminant_analysis,
    dummy,
    ensemble,
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
from sklearn.pipeline import make_pipeline

from tests.kits.estimators.problems import (
    COMPILED,
    NEIGHBOURS,
    REFUSED,
    SCIKIT_LEARN,
    Case,
    logistic,
    on_all_columns,
    scaled,
    small_tree,
)

NO_PROBABILITIES = "{} gives no probabilities (predict_proba): wrap it in CalibratedClassifierCV."


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
