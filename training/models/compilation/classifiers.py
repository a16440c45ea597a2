"""Classifiers -> ONNX nodes in double precision: logistic regression, trees, forests and boosting.

Two classes have one number, the probability of the second; several have one for each.
"""

from collections.abc import Callable

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.trees import Tree, boosted_trees, single_precision, summed, tree_of


def regression(graph: Graph) -> None:
    """LogisticRegression: the sigmoid of a weighted sum, or the softmax of one for each class.

    scikit-learn refuses infinite numbers, even from a transformer. Adding the sum minus itself, which is 0, makes an
    infinite sum NaN. Raises NotCompiled for several classes by liblinear, which fits one against the rest.
    """
    weights, start = graph.part.coef_.T, graph.part.intercept_.reshape(1, -1)
    total = graph.node("Add", graph.node("MatMul", graph.numbers(), weights), start)
    finite = graph.node("Add", total, graph.node("Sub", total, total))
    if _binary(graph):
        graph.output_probabilities(sigmoid(graph, finite))
    elif graph.part.solver == "liblinear":
        raise NotCompiled("LogisticRegression of several classes with solver='liblinear'")
    else:
        graph.output_classes(softmax(graph, finite))


def tree(graph: Graph) -> None:
    """DecisionTreeClassifier: the share of each class in a row's leaf."""
    numbers = single_precision(graph)
    _output(graph, lambda code: summed(graph, numbers, [tree_of(graph.part, code)]))


def forest(graph: Graph) -> None:
    """RandomForestClassifier and ExtraTreesClassifier: the mean of their trees."""
    numbers, trees = single_precision(graph), graph.part.estimators_
    count = np.array(float(len(trees)))

    def mean(code: int) -> str:
        return graph.node("Div", summed(graph, numbers, [tree_of(each, code) for each in trees]), count)

    _output(graph, mean)


def boosting(graph: Graph) -> None:
    """HistGradientBoostingClassifier: the sigmoid, or softmax, of the baseline plus the sum of the trees.

    Raises NotCompiled where it has categorical features.
    """
    if getattr(graph.part, "is_categorical_", None) is not None:
        raise NotCompiled("HistGradientBoostingClassifier with categorical features")
    baselines, numbers = graph.part._baseline_prediction.ravel(), graph.numbers()

    def total(column: int) -> str:
        trees: list[Tree] = boosted_trees(graph.part._predictors, column, float(baselines[column]))
        return summed(graph, numbers, trees)

    if _binary(graph):
        graph.output_probabilities(sigmoid(graph, total(0)))
    else:
        graph.output_classes(softmax(graph, graph.node("Concat", *map(total, range(baselines.size)), axis=1)))


def _binary(graph: Graph) -> bool:
    return len(graph.part.classes_) == 2


def _output(graph: Graph, probability: Callable[[int], str]) -> None:
    """The outputs, from the probability of a class by its code, shape (rows, 1)."""
    if _binary(graph):
        graph.output_probabilities(probability(1))
    else:
        every = [probability(code) for code in range(len(graph.part.classes_))]
        graph.output_classes(graph.node("Concat", *every, axis=1))


def sigmoid(graph: Graph, value: str) -> str:
    """1 / (1 + exp(-x)), as SciPy's `expit`; the operator Sigmoid loses digits."""
    one = np.array(1.0)
    return graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", value))))


def softmax(graph: Graph, values: str) -> str:
    """exp(x - max) over its sum, in each row."""
    axis = np.array([1])
    powers = graph.node("Exp", graph.node("Sub", values, graph.node("ReduceMax", values, axis, keepdims=1)))
    return graph.node("Div", powers, graph.node("ReduceSum", powers, axis, keepdims=1))
