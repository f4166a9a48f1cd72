"""`ops.AlphaDropout` <-> `torch.nn.AlphaDropout`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.AlphaDropout)
def write_alpha_dropout(
    op: ops.AlphaDropout, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.alpha_dropout(x)``."""
    return (writer.module(lambda op: nn.AlphaDropout(op.rate), inputs[0]),)


@reads(nn.AlphaDropout)
def read_alpha_dropout(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.AlphaDropout, rate=module.p)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]
