"""XGBoost -> ONNX nodes: it takes features, splits and sums in single precision, and so does the graph.

The sum is the same to the last digit, and so are sigmoid and softmax but for the rounding of an exponential: the
graph's is of double precision and rounded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.graph import DOUBLE, SINGLE, Graph
from training.models.compilation.trees import Tree, summed

LARGEST_EXPONENT = np.float32(88.7)
IDENTITY = ("squarederror", "squaredlogerror", "absoluteerror", "pseudohubererror", "quantileerror")
IDENTITY_OBJECTIVES = frozenset(f"reg:{name}" for name in IDENTITY)
LOGISTIC_OBJECTIVES = frozenset(("binary:logistic", "reg:logistic"))
EXPONENTIAL_OBJECTIVES = frozenset(("count:poisson", "reg:gamma", "reg:tweedie"))


@dataclass(frozen=True)
class Model:
    """The trees of each class in their order, the first of which include its start; and the objective."""

    trees: list[list[Tree]]
    objective: str


def classifier(graph: Graph) -> None:
    """XGBClassifier: the sigmoid of the sum of the trees, or the softmax of one for each class.

    Raises NotCompiled for other objectives and boosters, categorical features, and trees of several outputs.
    """
    model = _read(graph)
    totals = _totals(graph, model)
    if model.objective == "binary:logistic":
        graph.output_probabilities(_double(graph, _sigmoid(graph, totals[0])))
    elif model.objective == "multi:softprob":
        graph.output_classes(_double(graph, _softmax(graph, graph.node("Concat", *totals, axis=1))))
    else:
        raise NotCompiled(f"XGBClassifier with the objective {model.objective}")


def regressor(graph: Graph) -> None:
    """XGBRegressor: the sum of the trees, its exponential or its sigmoid. Raises NotCompiled as `classifier` does."""
    model = _read(graph)
    total = _totals(graph, model)[0]
    if model.objective in EXPONENTIAL_OBJECTIVES:
        total = _exponential(graph, total)
    elif model.objective in LOGISTIC_OBJECTIVES:
        total = _sigmoid(graph, total)
    graph.output(_double(graph, total))


def _read(graph: Graph) -> Model:
    learner = json.loads(graph.part.get_booster().save_raw("json"))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise NotCompiled(f"XGBoost with the booster {booster['name']}")
    fitted = [_tree(tree) for tree in booster["model"]["trees"]]
    starts = _starts(objective, json.loads(learner["learner_model_param"]["base_score"]))
    trees: list[list[Tree]] = [[] for _ in starts]
    for tree, code in zip(fitted, booster["model"]["tree_info"], strict=True):
        trees[code].append(tree)
    first = [replace(each[0], value=start + each[0].value) for start, each in zip(starts, trees, strict=True)]
    return Model([[start, *each[1:]] for start, each in zip(first, trees, strict=True)], objective)


def _starts(objective: str, base_score: Any) -> NDArray[np.float32]:
    """What each sum starts with: the base score, as the link of the objective changes it."""
    base = np.atleast_1d(np.asarray(base_score, dtype=np.float32))
    if objective in LOGISTIC_OBJECTIVES:
        return -_logarithm(np.float32(1) / base - np.float32(1))
    if objective in EXPONENTIAL_OBJECTIVES:
        return _logarithm(base)
    if objective in IDENTITY_OBJECTIVES or objective == "multi:softprob":
        return base
    raise NotCompiled(f"XGBoost with the objective {objective}")


def _logarithm(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(values.astype(np.float64)).astype(np.float32)


def _tree(fields: Mapping[str, Any]) -> Tree:
    """A row goes left where its feature is less than the threshold: at most the next number below it."""
    if any(fields["split_type"]):
        raise NotCompiled("XGBoost with categorical features: encode them, as with OneHotEncoder")
    if int(fields["tree_param"]["size_leaf_vector"]) > 1:
        raise NotCompiled("XGBoost with multi_strategy='multi_output_tree'")
    left, right = (np.array(fields[name], dtype=np.int64) for name in ("left_children", "right_children"))
    conditions = np.array(fields["split_conditions"], dtype=np.float32)
    return Tree(
        leaf=left < 0,
        feature=np.array(fields["split_indices"], dtype=np.int64),
        threshold=np.nextafter(conditions, np.float32(-np.inf)),
        left=left,
        right=right,
        missing_left=np.array(fields["default_left"], dtype=bool),
        value=conditions,
        cover=np.array(fields["sum_hessian"], dtype=np.float64),
    )


def _totals(graph: Graph, model: Model) -> list[str]:
    """The sum of the trees of each class in single precision, shape (rows, 1)."""
    numbers = _numbers(graph)
    return [summed(graph, numbers, trees) for trees in model.trees]


def numbers_and_trees(graph: Graph) -> tuple[str, list[list[Tree]]]:
    """The columns of the trees, in double precision, and the trees of each class, the first of which has its start."""
    return _double(graph, _numbers(graph)), _read(graph).trees


def _numbers(graph: Graph) -> str:
    """The columns in single precision, with NaN for what is missing."""
    numbers = graph.node("Cast", graph.numbers(), to=SINGLE)
    missing = np.float32(np.nan if graph.part.missing is None else graph.part.missing)
    if not np.isnan(missing):
        absent = graph.node("Equal", numbers, np.array(missing))
        numbers = graph.node("Where", absent, np.array(np.nan, dtype=np.float32), numbers)
    return numbers


def _sigmoid(graph: Graph, value: str) -> str:
    one = np.array(1, dtype=np.float32)
    exponent = graph.node("Min", graph.node("Neg", value), np.array(LARGEST_EXPONENT))
    return graph.node("Div", one, graph.node("Add", _exponential(graph, exponent), one))


def _softmax(graph: Graph, values: str) -> str:
    """exp(x - max) over its sum in each row, which is of double precision and rounded."""
    axis = np.array([1])
    powers = _exponential(graph, graph.node("Sub", values, graph.node("ReduceMax", values, axis, keepdims=1)))
    total = graph.node("ReduceSum", _double(graph, powers), axis, keepdims=1)
    return graph.node("Div", powers, graph.node("Cast", total, to=SINGLE))


def _exponential(graph: Graph, value: str) -> str:
    return graph.node("Cast", graph.node("Exp", _double(graph, value)), to=SINGLE)


def _double(graph: Graph, value: str) -> str:
    return graph.node("Cast", value, to=DOUBLE)
