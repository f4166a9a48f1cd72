"""`ops.ReLU` <-> `torch.nn.ReLU`, `torch.nn.ReLU6` or `torch_side.layers.ReLU`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.ops.in_place import check_inplace
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


def relu(op: ops.ReLU) -> nn.Module:
    """Torch's own module where there is one."""
    match op.max_value, op.negative_slope, op.threshold:
        case None, 0, 0:
            return nn.ReLU()
        case 6, 0, 0:
            return nn.ReLU6()
    return layers.ReLU(op.max_value, op.negative_slope, op.threshold)


@writes(ops.ReLU)
def write_re_lu(
    op: ops.ReLU, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.re_lu(x)``."""
    return (writer.module(relu, inputs[0]),)


@reads(nn.ReLU, nn.ReLU6)
def read_re_lu(reader: Reader, node: fx.Node) -> Bound:
    """Torch's modules."""
    module = reader.module(node)
    check_inplace(reader, node, module.inplace)
    top = 6.0 if isinstance(module, nn.ReLU6) else None
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, ops.ReLU(max_value=top), [reader.value(node, x)])[0]


@reads(layers.ReLU)
def read_own_re_lu(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    fields = {"negative_slope": module.negative_slope, "threshold": module.threshold}
    op = build(reader.owner(node), ops.ReLU, max_value=module.max_value, **fields)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
