"""`ops.PReLU` <-> `torch_side.layers.PReLU`; `torch.nn.PReLU` is read too."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.PReLU)
def state_p_re_lu(op: ops.PReLU) -> State:
    """The ``state_dict`` of the layer."""
    return {"weight": op.alpha}


@writes(ops.PReLU)
def write_p_re_lu(
    op: ops.PReLU, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.p_re_lu(x)``."""
    return (writer.module(lambda op: layers.PReLU(op.alpha.shape), inputs[0]),)


@reads(layers.PReLU)
def read_p_re_lu(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    owner = reader.owner(node)
    alpha = arrays(owner, {"alpha": reader.module(node).weight})
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, build(owner, ops.PReLU, **alpha), [reader.value(node, x)])[0]


@reads(nn.PReLU)
def read_torch_p_re_lu(reader: Reader, node: fx.Node) -> Bound:
    """Torch's module: one slope, or one for each size of the second axis."""
    owner = reader.owner(node)
    (x,) = reader.arguments(node, "input")
    source = reader.value(node, x)
    rank = reader.rank(source)
    if rank is None:
        raise UnsupportedError(owner, "input", f"{source} of unknown shape", "read(module, inputs=[...])")
    alpha = arrays(owner, {"alpha": reader.module(node).weight})["alpha"]
    shape = (alpha.size,) + (1,) * (rank - 2)
    return reader.emit(node, build(owner, ops.PReLU, alpha=alpha.reshape(shape)), [source])[0]
