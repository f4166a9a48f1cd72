"""`ops.GaussianNoise` <-> `torch_side.layers.GaussianNoise`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.GaussianNoise)
def write_gaussian_noise(
    op: ops.GaussianNoise, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.gaussian_noise(x)``."""
    return (writer.module(lambda op: layers.GaussianNoise(op.stddev), inputs[0]),)


@reads(layers.GaussianNoise)
def read_gaussian_noise(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.GaussianNoise, stddev=module.std)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
