"""`ops.Softmax` <-> `torch.nn.Softmax`, or `torch_side.layers.Softmax` for several axes and under a mask."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Softmax)
def write_softmax(
    op: ops.Softmax, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.softmax(x)``, or ``self.softmax(x, mask=mask)``."""
    if masks[0] is None and isinstance(op.axis, int):
        return (writer.module(lambda op: nn.Softmax(op.axis), inputs[0]),)
    return (writer.module(lambda op: layers.Softmax(op.axis), inputs[0], mask=masks[0]),)


@reads(nn.Softmax)
def read_softmax(reader: Reader, node: fx.Node) -> Bound:
    """Torch's module; its old habit of choosing an axis is refused."""
    dim = reader.module(node).dim
    if dim is None:
        raise UnsupportedError(reader.owner(node), "dim", None, "an axis")
    op = build(reader.owner(node), ops.Softmax, axis=dim)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@reads(layers.Softmax)
def read_own_softmax(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    op = build(reader.owner(node), ops.Softmax, axis=reader.module(node).dim)
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    return reader.emit(node, op, [reader.value(node, x)], masks)[0]
