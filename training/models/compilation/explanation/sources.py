"""Which inputs of a graph each column of one of its values depends on, read from its nodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.models.compilation.graph import Nodes, Value

if TYPE_CHECKING:
    from onnx import NodeProto

Sources = list[frozenset[int]]
"""For each column the inputs by their place."""

COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual")
FUNCTIONS = ("Abs", "Cast", "Clip", "Exp", "Floor", "Log", "Max", "Min", "Neg", "Sign", "Sqrt", "Tanh")
BY_COLUMN = frozenset((*COMPARISONS, *FUNCTIONS, "Add", "And", "Div", "Mul", "Not", "Or", "Sub", "Sum", "Where"))
"""Operations of which a column depends on that column of each operand, or on its only one."""
BY_ROW = frozenset(("ReduceMax", "ReduceSum"))
"""Operations along a row, with a single column."""


def column_sources(nodes: Nodes, inputs: Sequence[Value], value: str) -> Sources | None:
    """Those of each column of `value`; None after an operation that is not known here."""
    known: dict[str, Sources | None] = {each.name: [frozenset({place})] for place, each in enumerate(inputs)}
    for node in nodes.nodes:
        of_node = _sources(node, known, nodes.arrays)
        known |= dict.fromkeys(node.output, of_node)
    return known[value]


def _sources(node: "NodeProto", known: dict[str, Sources | None], arrays: dict[str, NDArray[Any]]) -> Sources | None:
    operands = [known[name] if name in known else _constant(arrays[name]) for name in node.input]
    if any(each is None for each in operands):
        return None
    sources: list[Sources] = [each for each in operands if each is not None]
    match node.op_type:
        case kind if kind in BY_COLUMN:
            return _broadcast(sources)
        case kind if kind in BY_ROW:
            return [frozenset().union(*sources[0])]
        case "Concat":
            return [column for each in sources for column in each]
        case "Gather" if node.input[0] in known and node.input[1] in arrays:
            return [sources[0][place] for place in arrays[node.input[1]].ravel().tolist()]
        case "MatMul" if node.input[0] in known and node.input[1] in arrays:
            return _product(sources[0], arrays[node.input[1]])
    return None


def _constant(array: NDArray[Any]) -> Sources:
    return [frozenset()] * (array.shape[-1] if array.ndim else 1)


def _broadcast(operands: Sequence[Sources]) -> Sources | None:
    width = next((len(each) for each in operands if len(each) != 1), 1)  # 0 of a column without bins
    if any(len(each) not in (1, width) for each in operands):
        return None
    wide = [each * width if len(each) == 1 else each for each in operands]
    return [frozenset().union(*columns) for columns in zip(*wide, strict=True)]


def _product(rows: Sources, matrix: NDArray[Any]) -> Sources:
    """A column depends on the rows at which the matrix is not zero."""
    return [frozenset().union(*(rows[place] for place in np.flatnonzero(column))) for column in matrix.T]
