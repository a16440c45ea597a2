"""Graph: adds nodes and constants to skl2onnx's container, for our converters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

TREES = "ai.onnx.ml"
OPSETS = {"": 21, TREES: 3}
"""The target opsets for skl2onnx."""
TREES_IN_DOUBLE = 5
"""The first version of that domain with trees in double precision; skl2onnx does not know it yet."""


class Graph:
    """The nodes of `part`, a fitted estimator or transformer. Values are names of tensors of shape (rows, columns)."""

    def __init__(self, scope: "Scope", operator: "Operator", container: "ModelComponentContainer") -> None:
        self.part = operator.raw_operator
        self.inputs = [each.full_name for each in operator.inputs]
        self._scope, self._operator, self._container = scope, operator, container

    def constant(self, values: Any) -> str:
        """The name of a constant with the type and shape of the values."""
        from onnx import helper

        array = np.asarray(values)
        name = str(self._scope.get_unique_variable_name("constant"))
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self._container.add_initializer(name, kind, list(array.shape), array.ravel().tolist())
        return name

    def node(self, kind: str, *inputs: str | NDArray[Any], domain: str = "", **attributes: Any) -> str:
        """Adds an operation and returns the name of its output; arrays among its inputs become constants."""
        output = str(self._scope.get_unique_variable_name(kind.lower()))
        self._add(kind, inputs, output, domain=domain, **attributes)
        return output

    def output(self, value: str, index: int = 0) -> None:
        """Makes the value an output of this part."""
        self._add("Identity", [value], self._operator.outputs[index].full_name)

    def numbers(self) -> str:
        """All inputs as one tensor of double."""
        from onnx import TensorProto
        from skl2onnx.common.data_types import DoubleTensorType

        doubles = [
            name if isinstance(each.type, DoubleTensorType) else self.node("Cast", name, to=TensorProto.DOUBLE)
            for name, each in zip(self.inputs, self._operator.inputs, strict=True)
        ]
        return self.node("Concat", *doubles, axis=1) if len(doubles) > 1 else doubles[0]

    def output_probabilities(self, positive: str) -> None:
        """Makes label and probabilities the outputs; `positive` is the probability of class 1, shape (rows, 1)."""
        both = self.node("Concat", self.node("Sub", np.array(1.0), positive), positive, axis=1)
        self.output(self.node("ArgMax", both, axis=1, keepdims=0))
        self.output(both, index=1)

    def output_classes(self, probabilities: str) -> None:
        """The same for several classes, shape (rows, classes)."""
        self.output(self.node("ArgMax", probabilities, axis=1, keepdims=0))
        self.output(probabilities, index=1)

    def columns(self) -> list[str]:
        """Each column of the inputs, shape (rows, 1)."""
        columns: list[str] = []
        for name, each in zip(self.inputs, self._operator.inputs, strict=True):
            width = each.type.shape[1]
            single = (self.node("Gather", name, np.array([index]), axis=1) for index in range(width))
            columns += single if width > 1 else [name]
        return columns

    def _add(
        self, kind: str, inputs: Sequence[str | NDArray[Any]], output: str, domain: str = "", **attributes: Any
    ) -> None:
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self._container.add_node(
            kind,
            names,
            output,
            op_domain=domain,
            op_version=OPSETS[domain],
            name=self._scope.get_unique_operator_name(kind),
            **attributes,
        )
