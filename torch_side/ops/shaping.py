"""Operations that move elements <-> `torch.flip` and others."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reading.fx_reader import Bound, FxReader
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.shared.channels import dims_of
from torch_side.writing.graph_writer import GraphWriter


@writes(ops.ReshapeTo)
def write_reshape_to(op: ops.ReshapeTo, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.reshape(n, t, 4)``."""
    shape = writer.sizes(op.with_rest(writer.tensor()))
    return (writer.method("reshape", inputs[0], *(shape or [()])),)


@writes(ops.Flip)
def write_flip(op: ops.Flip, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.flip(x, (1,))``."""
    return (writer.call(torch.flip, inputs[0], (1,)),)


@reads(torch.flip, "flip")
def read_flip(reader: FxReader, node: fx.Node) -> Bound:
    """``x.flip(1)``, of three dimensions."""
    dims = dims_of(node)
    source = reader.value(node, node.args[0] if node.args else node.kwargs.get("input"))
    if reader.rank(source) != 3 or [dim % 3 for dim in dims if isinstance(dim, int)] != [1]:
        raise UnsupportedError(reader.owner(node), "dims", dims, "1, the steps of (N, T, I)")
    return reader.emit(node, ops.Flip(), [source])[0]
