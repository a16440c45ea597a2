"""Transformers of columns -> ONNX nodes in double precision, with the formulas of scikit-learn and SciPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph


def one_hot(graph: Graph) -> None:
    """OneHotEncoder: a column for each category; an unknown one gives zeros.

    Raises NotCompiled where it groups rare categories, or where a category is not text.
    """
    from onnx import TensorProto

    encoder = graph.part
    if encoder._infrequent_enabled:
        raise NotCompiled("OneHotEncoder groups infrequent categories")
    drop_idx, parts = encoder.drop_idx_, []
    for index, (column, categories) in enumerate(zip(graph.columns(), encoder.categories_, strict=True)):
        if not all(isinstance(category, str) for category in categories):
            raise NotCompiled("OneHotEncoder takes something else than text")
        if drop_idx is not None and drop_idx[index] is not None:
            categories = np.delete(categories, drop_idx[index])
        parts.append(graph.node("Equal", column, categories.reshape(1, -1).astype(object)))
    together = graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    graph.output(graph.node("Cast", together, to=TensorProto.DOUBLE))


def impute(graph: Graph) -> None:
    """SimpleImputer of numbers whose missing values are NaN.

    Raises NotCompiled for any other, and where it adds or drops columns.
    """
    imputer = graph.part
    filled = np.asarray(imputer.statistics_)
    plain = filled.dtype.kind == "f" and np.isfinite(filled).all() and np.isnan(imputer.missing_values)
    if not plain or imputer.add_indicator:
        raise NotCompiled("SimpleImputer of something else than NaN by numbers")
    numbers = graph.numbers()
    graph.output(graph.node("Where", graph.node("IsNaN", numbers), filled.reshape(1, -1), numbers))


def scale(graph: Graph) -> None:
    """StandardScaler."""
    graph.output(_scaled(graph, graph.numbers(), graph.part))


def power(graph: Graph) -> None:
    """PowerTransformer by Yeo and Johnson: with m = log(1 + |x|) it is expm1(e m) / e, or m where e is 0.

    The exponent e is lambda for x >= 0, else 2 - lambda, with the sign inverted (`scipy.stats.yeojohnson`).
    Raises NotCompiled for Box-Cox.
    """
    transformer = graph.part
    if transformer.method != "yeo-johnson":
        raise NotCompiled(f"PowerTransformer with method={transformer.method!r}")
    one, numbers = np.array(1.0), graph.numbers()
    logarithm = graph.node("Log", graph.node("Add", graph.node("Abs", numbers), one))
    above, below = (_without_tiny(each) for each in (transformer.lambdas_, 2 - transformer.lambdas_))
    exponent = graph.node("Where", graph.node("Less", numbers, np.array(0.0)), below, above)
    powered = graph.node("Exp", graph.node("Mul", exponent, logarithm))
    size = graph.node("Div", graph.node("Sub", powered, one), exponent)
    if not (above.all() and below.all()):
        size = graph.node("Where", graph.node("Equal", exponent, np.array(0.0)), logarithm, size)
    signed = graph.node("Mul", size, graph.node("Sign", numbers))
    graph.output(_scaled(graph, signed, transformer._scaler) if transformer.standardize else signed)


def _without_tiny(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero for exponents below the machine epsilon, as SciPy does."""
    return np.where(np.abs(exponents) < np.spacing(1.0), 0.0, exponents).reshape(1, -1)


def _scaled(graph: Graph, numbers: str, scaler: Any) -> str:
    mean, deviation = (getattr(scaler, name) for name in ("mean_", "scale_"))
    if scaler.with_mean:
        numbers = graph.node("Sub", numbers, mean.reshape(1, -1))
    return graph.node("Div", numbers, deviation.reshape(1, -1)) if deviation is not None else numbers
