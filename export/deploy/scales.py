"""What is multiplied with and added to each channel behind a convolution becomes part of its weights.

onnxruntime does so when it opens a file in float32; behind a convolution in 8 bits it cannot, and a batch
normalisation there costs the convolution's result in float32, and a second pass over it.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from export.deploy.values import is_read, values_of
from export.onnx.builder import Builder


def with_scales_inside(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the factors and summands of channels inside of its convolutions.

    Args:
        model: in float32.
    """
    changed = ir.from_proto(model)
    builder = Builder(value.name for value in values_of(changed) if value.name)
    for node in [*changed.graph]:
        if node.op_type == "Conv" and not node.domain:
            _take_in(builder, node)
    for value in builder.constants.values():
        changed.graph.register_initializer(value)
    unread = [name for name, value in changed.graph.initializers.items() if not is_read(value)]
    for name in unread:
        del changed.graph.initializers[name]
    return ir.to_proto(changed)


def _take_in(builder: Builder, conv: ir.Node) -> None:
    """Let a convolution do what its only reader does with each channel, and the reader of that."""
    scope = builder.scope(conv.name or "Conv")
    while (read := _reader(conv)) is not None:
        reader, numbers = read
        weight, bias = (_numbers(value) for value in (*conv.inputs, None)[1:3])
        assert weight is not None
        bias = np.zeros(len(weight), "float32") if bias is None else bias
        if reader.op_type == "Mul":
            weight, bias = weight * numbers.reshape(-1, *[1] * (weight.ndim - 1)), bias * numbers
        else:
            bias = bias + numbers
        conv.resize_inputs(3)
        conv.replace_input_with(1, scope.constant(weight.astype("float32"), "weight"))
        conv.replace_input_with(2, scope.constant(bias.astype("float32"), "bias"))
        ir.convenience.replace_all_uses_with(reader.outputs[0], conv.outputs[0])
        assert reader.graph is not None
        reader.graph.remove(reader, safe=True)


def _reader(conv: ir.Node) -> tuple[ir.Node, np.ndarray] | None:
    """What alone reads a convolution's result, and the number it has for each channel, ``(O,)``."""
    (y,) = conv.outputs
    weight, uses = _numbers(conv.inputs[1]), [*y.uses()]
    known = len(conv.inputs) < 3 or conv.inputs[2] is None or _numbers(conv.inputs[2]) is not None
    if weight is None or not known or y.is_graph_output() or len(uses) != 1:
        return None
    ((reader, at),) = uses
    if reader.op_type not in ("Mul", "Add") or reader.outputs[0].is_graph_output():
        return None
    numbers = _numbers(reader.inputs[1 - at])
    if numbers is None or numbers.ndim > weight.ndim:
        return None
    channels = (1, len(weight), *[1] * (weight.ndim - 2))
    if (*[1] * (weight.ndim - numbers.ndim), *numbers.shape) not in (channels, (1,) * weight.ndim):
        return None
    return reader, np.broadcast_to(numbers.reshape(-1), len(weight)).astype("float64")


def _numbers(value: ir.Value | None) -> np.ndarray | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None or tensor.dtype != ir.DataType.FLOAT else tensor.numpy()
