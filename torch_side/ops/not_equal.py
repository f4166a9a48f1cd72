"""`ops.NotEqual` <-> ``ids != 0``."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Lazy, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@dataclass
class Unequal(Lazy):
    """``x != number`` for floats: the beginning of a mask, see `ops.FeaturesNotEqual`."""

    source: str
    number: float

    def value(self, user: str) -> str:
        """Not one value: only a step as a whole can be masked."""
        raise UnsupportedError(user, "uses", f"{self.source} != {self.number}", "(x != number).any(dim=-1)")

    def item(self, index: object, user: str) -> Bound:
        """Nothing."""
        raise UnsupportedError(user, "index", index, "(x != number).any(dim=-1)")


@writes(ops.NotEqual)
def write_not_equal(
    op: ops.NotEqual, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``ids != 0``."""
    return (writer.call(operator.ne, inputs[0], op.value),)


@reads(operator.ne, torch.ne, torch.not_equal, "ne", "not_equal")
def read_not_equal(reader: Reader, node: fx.Node) -> Bound:
    """A comparison of ids with an integer, or of features with a number."""
    ids, value = reader.arguments(node, "input", "other")
    source = reader.value(node, ids)
    if source in reader.tensors and reader.tensors[source].dtype in ops.FLOATS:
        return Unequal(source, value)
    if type(value) is not int:
        raise UnsupportedError(reader.owner(node), "compared with", str(value), "an integer, as in ids != 0")
    return reader.emit(node, ops.NotEqual(value=value), [source])[0]
