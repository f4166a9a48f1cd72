"""`ops.LearnedAverage` <-> `torch_side.layers.LearnedAverage`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, arrays, build
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.LearnedAverage)
def state_learned_average(op: ops.LearnedAverage) -> State:
    """The ``state_dict`` of the layer."""
    return {"weight": op.weight}


@writes(ops.LearnedAverage)
def write_learned_average(
    op: ops.LearnedAverage, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.learned_average(a, b)``."""
    return (writer.module(lambda op: layers.LearnedAverage(*op.weight.shape), *inputs),)


@reads(layers.LearnedAverage)
def read_learned_average(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    owner = reader.owner(node)
    op = build(owner, ops.LearnedAverage, **arrays(owner, {"weight": reader.module(node).weight}))
    values = [reader.value(node, item) for item in reader.arguments(node, "one", "two")]
    return reader.emit(node, op, values)[0]
