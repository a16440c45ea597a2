"""Transformers of single numbers -> ONNX nodes: scalers, powers and NumPy's functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph

ONE = np.array(1.0)


def scale(graph: Graph) -> None:
    """StandardScaler, RobustScaler, MaxAbsScaler and MinMaxScaler."""
    graph.output(scaled(graph, graph.numbers(), graph.part))


def scaled(graph: Graph, numbers: str, scaler: Any) -> str:
    """The numbers, scaled by such a scaler."""
    from sklearn.preprocessing import MinMaxScaler

    if isinstance(scaler, MinMaxScaler):
        moved = graph.node("Add", graph.node("Mul", numbers, _row(scaler.scale_)), _row(scaler.min_))
        ends = map(np.float64, scaler.feature_range)
        return graph.node("Clip", moved, *map(np.array, ends)) if scaler.clip else moved
    center, size = _center_and_scale(scaler)
    if center is not None:
        numbers = graph.node("Sub", numbers, _row(center))
    return graph.node("Div", numbers, _row(size)) if size is not None else numbers


def unscaled(graph: Graph, numbers: str, scaler: Any) -> str:
    """The inverse of `scaled`."""
    from sklearn.preprocessing import MinMaxScaler

    if isinstance(scaler, MinMaxScaler):
        return graph.node("Div", graph.node("Sub", numbers, _row(scaler.min_)), _row(scaler.scale_))
    center, size = _center_and_scale(scaler)
    if size is not None:
        numbers = graph.node("Mul", numbers, _row(size))
    return graph.node("Add", numbers, _row(center)) if center is not None else numbers


def _center_and_scale(scaler: Any) -> tuple[Any, Any]:
    """What is subtracted, and by what is divided; None for neither."""
    switches = scaler.get_params()
    center = getattr(scaler, "mean_", getattr(scaler, "center_", None))
    centered = switches.get("with_mean", switches.get("with_centering", False))
    return center if centered else None, scaler.scale_


def power(graph: Graph) -> None:
    """PowerTransformer by Yeo and Johnson: with m = log(1 + |x|) it is expm1(e m) / e, or m where e is 0.

    The exponent e is lambda for x >= 0, else 2 - lambda, with the sign inverted (`scipy.stats.yeojohnson`).
    Raises NotCompiled for Box-Cox.
    """
    transformer = graph.part
    if transformer.method != "yeo-johnson":
        raise NotCompiled("PowerTransformer with method='box-cox', which refuses numbers that are not positive")
    graph.nodes.unbounded, numbers = True, graph.numbers()
    logarithm = graph.node("Log", graph.node("Add", graph.node("Abs", numbers), ONE))
    above, below = (_without_tiny(each) for each in (transformer.lambdas_, 2 - transformer.lambdas_))
    exponent = graph.node("Where", graph.node("Less", numbers, np.array(0.0)), below, above)
    powered = graph.node("Exp", graph.node("Mul", exponent, logarithm))
    size = graph.node("Div", graph.node("Sub", powered, ONE), exponent)
    if not (above.all() and below.all()):
        size = graph.node("Where", graph.node("Equal", exponent, np.array(0.0)), logarithm, size)
    signed = graph.node("Mul", size, graph.node("Sign", numbers))
    graph.output(scaled(graph, signed, transformer._scaler) if transformer.standardize else signed)


def _without_tiny(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero for exponents below the machine epsilon, as SciPy does."""
    return _row(np.where(np.abs(exponents) < np.spacing(1.0), 0.0, exponents))


def binarise(graph: Graph) -> None:
    """Binarizer."""
    above = graph.node("Greater", graph.numbers(), np.array(float(graph.part.threshold)))
    graph.output(graph.node("Where", above, ONE, np.array(0.0)))


def function(graph: Graph) -> None:
    """FunctionTransformer of one of NumPy's functions in `applied`, or of none."""
    if graph.part.func is None:
        graph.outputs = graph.inputs
        return
    graph.nodes.unbounded = True
    graph.output(applied(graph, graph.numbers(), graph.part.func), width=sum(each.width for each in graph.inputs))


def applied(graph: Graph, numbers: str, ufunc: Any) -> str:
    """The function of each number. Raises NotCompiled for a function that has no operators here."""
    operators: dict[Any, tuple[str, ...]] = {
        None: (),
        np.log: ("Log",),
        np.exp: ("Exp",),
        np.sqrt: ("Sqrt",),
        np.absolute: ("Abs",),
        np.sign: ("Sign",),
    }
    if ufunc in operators:
        for kind in operators[ufunc]:
            numbers = graph.node(kind, numbers)
        return numbers
    if ufunc is np.log1p:
        return graph.node("Log", graph.node("Add", numbers, ONE))
    if ufunc is np.expm1:
        return graph.node("Sub", graph.node("Exp", numbers), ONE)
    if ufunc is np.square:
        return graph.node("Mul", numbers, numbers)
    raise NotCompiled(f"FunctionTransformer of {getattr(ufunc, '__name__', ufunc)}")


def _row(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(1, -1)
