"""A float32 model in half precision, all of it but its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from export.deploy.values import values_of
from export.onnx.builder import Builder

WIDE, NARROW = ir.DataType.FLOAT, ir.DataType.FLOAT16
SMALLEST, LARGEST = float(np.finfo("float16").smallest_subnormal), float(np.finfo("float16").max)
RESULT_TYPES = "to", "dtype"
"""Attributes that name the type of what a node gives: of ``Cast``, and of what makes numbers."""


def float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights and what it computes in half precision, a ``Cast`` at each input and output.

    What the standard does not have in half precision, such as the scales of a ``Resize``, stays float32,
    between two casts. What is inside of branches and loops is converted as well.

    Args:
        model: valid, and below 2 GiB.
    """
    narrow = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    nodes = [*narrow.graph.all_nodes()]
    wide = [(node, *_wide_by_standard(node, narrow.opset_imports)) for node in nodes]
    inputs = [value for value in narrow.graph.inputs if value.dtype == WIDE]
    outputs = [at for at in _wide_at(narrow.graph.outputs) if narrow.graph.outputs[at] not in inputs]
    for graph in narrow.graphs():
        _narrow_values(graph)
    for node in nodes:
        _narrow_attributes(node)
    casts = _Casts(narrow)
    for value in inputs:
        casts.behind_input(value)
    for at in outputs:
        casts.before_output(at)
    for node, taken, given in wide:
        casts.around(node, taken, given)
    return ir.to_proto(narrow)


def _wide_by_standard(node: ir.Node, opsets: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Which inputs and which outputs of a node are float32, and have to be."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 0), node.domain)
    except onnx.defs.SchemaError:
        # An operator of a runtime's own is left as it is.
        return _wide_at(node.inputs), _wide_at(node.outputs)
    return _never_narrow(node.inputs, schema.inputs), _never_narrow(node.outputs, schema.outputs)


def _never_narrow(
    values: Sequence[ir.Value | None], parameters: Sequence[onnx.defs.OpSchema.FormalParameter]
):
    last = len(parameters) - 1
    return [at for at in _wide_at(values) if "tensor(float16)" not in parameters[min(at, last)].types]


def _wide_at(values: Sequence[ir.Value | None]) -> list[int]:
    return [at for at, value in enumerate(values) if value is not None and value.dtype == WIDE]


def _narrow_values(graph: ir.Graph) -> None:
    for value in graph.initializers.values():
        if value.const_value is not None and value.dtype == WIDE and value not in graph.inputs:
            value.const_value = _narrowed(value.const_value)
    given = [value for node in graph for value in node.outputs]
    for value in (*graph.inputs, *graph.initializers.values(), *given):
        if value.dtype == WIDE:
            value.dtype = NARROW


def _narrowed(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The numbers in half precision: none of them becomes infinite, and none becomes 0."""
    array = tensor.numpy()
    sizes = np.where(np.isinf(array), np.inf, np.minimum(np.abs(array), LARGEST))
    sizes = np.where(array == 0, 0, np.maximum(sizes, SMALLEST))
    return ir.tensor(np.copysign(sizes, array).astype("float16"), name=tensor.name)


def _narrow_attributes(node: ir.Node) -> None:
    for name, attribute in [*node.attributes.items()]:
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == WIDE:
            node.attributes[name] = ir.AttrTensor(name, _narrowed(attribute.as_tensor()))
        elif name in RESULT_TYPES and attribute.type == ir.AttributeType.INT and attribute.as_int() == WIDE:
            node.attributes[name] = ir.AttrInt64(name, NARROW)
    if node.op_type == "ConstantOfShape" and "value" not in node.attributes:
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, "float16")))


class _Casts:
    """Writes casts into a model whose values are all in half precision."""

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._builder = Builder(value.name for value in values_of(model) if value.name)

    def behind_input(self, value: ir.Value) -> None:
        """Let an input of the model be float32."""
        cast = self._cast(value, NARROW)
        self._graph.insert_before(self._graph[0], cast)
        value.dtype = WIDE

    def before_output(self, at: int) -> None:
        """Let an output of the model be float32, under its name."""
        value = self._graph.outputs[at]
        node = self._node(value, WIDE)
        self._graph.append(node)
        (output,) = node.outputs
        output.name, value.name = value.name, output.name
        output.shape = value.shape
        self._graph.outputs[at] = output

    def around(self, node: ir.Node, taken: Sequence[int], given: Sequence[int]) -> None:
        """Let these inputs and outputs of a node be float32."""
        for at in taken:
            read = node.inputs[at]
            assert read is not None
            cast = self._node(read, WIDE)
            node.prepend(cast)
            node.replace_input_with(at, cast.outputs[0])
        for at in given:
            value = node.outputs[at]
            node.append(self._cast(value, NARROW))
            value.dtype = WIDE

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Node:
        """A ``Cast`` of ``value`` that is read in its place."""
        uses = [*value.uses()]
        node = self._node(value, dtype)
        for user, at in uses:
            user.replace_input_with(at, node.outputs[0])
        producer = value.producer()
        outputs = [] if producer is None or producer.graph is None else producer.graph.outputs
        for at, output in enumerate(outputs):
            if output is value:
                outputs[at] = node.outputs[0]
        return node

    def _node(self, value: ir.Value, dtype: ir.DataType) -> ir.Node:
        scope = self._builder.scope(f"{value.name}/{dtype.name}")
        output = scope("Cast", value, to=dtype)
        output.type = ir.TensorType(dtype)
        return self._builder.nodes.pop()
