"""`ops.LayerNormalization` <-> `torch.nn.LayerNorm`, or `torch_side.layers.LayerNormalization`."""

from __future__ import annotations

import torch
from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.LayerNormalization)
def state_layer_normalization(op: ops.LayerNormalization) -> State:
    """The ``state_dict``: weight and bias, where there are any."""
    return op.weights()


def plain(op: ops.LayerNormalization) -> nn.LayerNorm:
    """Torch's own layer, without the parameters the op lacks."""
    shape = list(next(iter(op.weights().values())).shape)
    layer = nn.LayerNorm(shape, eps=op.epsilon, bias=op.bias is not None)
    if op.weight is None:
        layer.register_parameter("weight", None)
    if op.bias is not None and layer.bias is None:
        layer.register_parameter("bias", nn.Parameter(torch.zeros(shape)))
    return layer


def over_axes(op: ops.LayerNormalization) -> layers.LayerNormalization:
    """A layer for any axes."""
    shape = next((array.shape for array in op.weights().values()), ())
    there = {"weight": op.weight is not None, "bias": op.bias is not None}
    return layers.LayerNormalization(op.axes, op.epsilon, shape=shape, **there)


@writes(ops.LayerNormalization)
def write_layer_normalization(
    op: ops.LayerNormalization, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.norm(x)``."""
    last = op.axes == tuple(range(-len(op.axes), 0))
    return (writer.module(plain if last and op.weights() else over_axes, inputs[0]),)


@reads(nn.LayerNorm, layers.LayerNormalization)
def read_layer_normalization(reader: Reader, node: fx.Node) -> Bound:
    """The layer; torch's own goes over the last axes."""
    layer, owner = reader.module(node), reader.owner(node)
    known = isinstance(layer, layers.LayerNormalization)
    op = build(
        owner,
        ops.LayerNormalization,
        axes=layer.axes if known else tuple(range(-len(layer.normalized_shape), 0)),
        epsilon=float(layer.eps),
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    (x,) = reader.arguments(node, "x" if known else "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]
