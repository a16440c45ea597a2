"""Graph: one fitted part of a model as ONNX nodes, which its converter adds.

Values are tensors of shape (rows, columns) in double precision, or of text. The same model gives the same names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

TREES = "ai.onnx.ml"
OPSETS = {"": 21, TREES: 5}
"""The versions of the domains; 5 is the first of TREES with trees in double precision."""
TEXT, SINGLE, DOUBLE = 8, 1, 11
"""ONNX's numbers of these types."""


@dataclass(frozen=True)
class Value:
    """A tensor of shape (rows, width), of double or of text."""

    name: str
    width: int = 1
    text: bool = False


@dataclass
class Nodes:
    """The nodes and constants of an ONNX graph. `taken` are the names of its inputs and its output.

    `unbounded`: a transformer may make a number infinite. `refusals` are values of shape (rows, 1), which are NaN for
    rows that scikit-learn refuses, and else 0. `arrays` are the constants by name.
    """

    taken: frozenset[str]
    nodes: list["NodeProto"] = field(default_factory=list)
    constants: list["TensorProto"] = field(default_factory=list)
    count: int = 0
    unbounded: bool = False
    refusals: list[str] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def constant(self, values: Any) -> str:
        """The name of a constant with the type and shape of the values."""
        from onnx import helper, numpy_helper

        array, name = np.asarray(values), self._name("constant")
        self.arrays[name] = array
        if array.dtype.kind in "OU":
            texts = [str(each).encode() for each in array.ravel()]
            self.constants.append(helper.make_tensor(name, TEXT, array.shape, texts))
        else:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str | NDArray[Any], domain: str = "", **attributes: Any) -> str:
        """Adds an operation and returns the name of its output; arrays among its inputs become constants."""
        return self.nodes_of(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def nodes_of(
        self, kind: str, *inputs: str | NDArray[Any], outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """The same for an operation with several outputs."""
        names = [self._name(kind.lower()) for _ in range(outputs)]
        self._add(kind, inputs, names, domain, attributes)
        return names

    def _add(
        self, kind: str, inputs: Sequence[str | NDArray[Any]], outputs: list[str], domain: str, attributes: Any
    ) -> None:
        from onnx import helper

        known = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self.nodes.append(helper.make_node(kind, known, outputs, domain=domain, **attributes))

    def model(self, inputs: Sequence[Value], output: str, value: Value) -> "ModelProto":
        """The graph with these inputs, and the value under that name as its only output."""
        from onnx import helper

        self._add("Sum", [value.name, *self.refusals], [output], "", {})
        *starts, end = (
            helper.make_tensor_value_info(each.name, TEXT if each.text else DOUBLE, [None, each.width])
            for each in (*inputs, Value(output, value.width))
        )
        graph = helper.make_graph(self.nodes, "model", starts, [end], self.constants)
        used = {node.domain for node in self.nodes}
        opsets = [helper.make_opsetid(domain, OPSETS[domain]) for domain in sorted(used | {""})]
        ir_version = helper.find_min_ir_version_for(opsets)
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="AsOf")

    def _name(self, kind: str) -> str:
        self.count += 1
        name = f"{kind}_{self.count}"
        return name if name not in self.taken else self._name(kind)


@dataclass(frozen=True)
class Converters:
    """What adds the nodes of a part, by its type; `scores` gives a classifier's `decision_function`.

    `reasons` says why a type has none, by its name.
    """

    parts: Mapping[type, Callable[["Graph"], None]]
    scores: Mapping[type, Callable[["Graph"], str]]
    reasons: Mapping[str, str] = field(default_factory=dict)


class Graph:
    """The nodes of `part`, a fitted estimator or transformer, on `inputs`. `outputs` are its values."""

    def __init__(self, part: Any, inputs: Sequence[Value], nodes: Nodes, converters: Converters) -> None:
        self.part, self.inputs = part, inputs
        self.outputs: Sequence[Value] = ()
        self.nodes, self._converters = nodes, converters
        self.constant, self.node, self.nodes_of = nodes.constant, nodes.node, nodes.nodes_of

    # Inputs

    def numbers(self) -> str:
        """All inputs as one tensor of double. Raises NotCompiled where one is text."""
        if any(each.text for each in self.inputs):
            raise NotCompiled(f"{type(self.part).__name__} takes text")
        return self.joined([each.name for each in self.inputs])

    def joined(self, values: Sequence[str]) -> str:
        """Tensors of the same rows as one, side by side."""
        return self.node("Concat", *values, axis=1) if len(values) > 1 else values[0]

    def columns(self, values: Sequence[Value] | None = None) -> list[Value]:
        """Each column of the inputs, or of other values."""
        return [column for each in (self.inputs if values is None else values) for column in self._columns(each)]

    def select(self, indices: Sequence[int]) -> list[Value]:
        """These columns of the inputs, in this order."""
        if len(self.inputs) == 1 and len(indices) != 1:
            only = self.inputs[0]
            if list(indices) == list(range(only.width)):
                return [only]
            name = self.node("Gather", only.name, np.asarray(indices, dtype=np.int64), axis=1)
            return [Value(name, len(indices), only.text)]
        columns = self.columns()
        return [columns[index] for index in indices]

    def _columns(self, value: Value) -> list[Value]:
        if value.width == 1:
            return [value]
        names = (self.node("Gather", value.name, np.array([index]), axis=1) for index in range(value.width))
        return [Value(name, 1, value.text) for name in names]

    # Outputs

    def output(self, value: str, width: int | None = None) -> None:
        """Makes a value the only output; its width is that of a regressor or a transformer of that part's type."""
        self.outputs = (Value(value, self._width() if width is None else width),)

    def output_probabilities(self, positive: str) -> None:
        """Makes the probabilities of two classes the output; `positive` is that of class 1, shape (rows, 1)."""
        both = self.node("Concat", self.node("Sub", np.array(1.0), positive), positive, axis=1)
        self.output_classes(both)

    def output_classes(self, probabilities: str) -> None:
        """The same for several classes, shape (rows, classes)."""
        self.outputs = (Value(probabilities, len(self.part.classes_)),)

    def _width(self) -> int:
        transforms = hasattr(self.part, "get_feature_names_out") and hasattr(self.part, "transform")
        return len(self.part.get_feature_names_out()) if transforms else 1

    # Parts of this part

    def convert(self, part: Any, inputs: Sequence[Value] | None = None) -> Sequence[Value]:
        """The values of another part, on these inputs or else on those of this one.

        Raises NotCompiled where it has no converter.
        """
        inner = self.inner(part, inputs)
        add = self._converters.parts.get(type(part))
        if add is None:
            name, reasons = type(part).__name__, self._converters.reasons
            raise NotCompiled(f"{name} has no converter" + (f": {reasons[name]}" if name in reasons else ""))
        add(inner)
        return inner.outputs

    def one(self, part: Any, inputs: Sequence[Value] | None = None) -> str:
        """The only value of another part: a regressor's, or the probabilities of a classifier."""
        (value,) = self.convert(part, inputs)
        return value.name

    def scores(self, part: Any, inputs: Sequence[Value] | None = None) -> str:
        """A classifier's `decision_function`, shape (rows, 1) for two classes, else (rows, classes).

        Raises NotCompiled where it has no converter.
        """
        give = self._converters.scores.get(type(part))
        if give is None:
            raise NotCompiled(f"the decision function of {type(part).__name__} has no converter")
        return give(self.inner(part, inputs))

    def inner(self, part: Any, inputs: Sequence[Value] | None = None) -> "Graph":
        """Another part on these inputs, or else on those of this one."""
        return Graph(part, self.inputs if inputs is None else inputs, self.nodes, self._converters)
