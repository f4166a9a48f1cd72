"""Where the rows of a batch, which lie along the first axis, meet in one op."""

from __future__ import annotations

from collections.abc import Sequence

from biport.dims import letters_in
from biport.ops.base import Op
from biport.ops.source import Arange, SizeOf
from biport.ops.tensor import Tensor


def rows_meet(op: Op, inputs: Sequence[Tensor], outputs: Sequence[Tensor], names: frozenset[str]) -> bool:
    """Whether an op makes something of several rows, of their number, or moves them to another axis.

    Args:
        op: applied to ``inputs``, with ``outputs``.
        inputs: shapes that suit it.
        outputs: what it makes of them.
        names: the letters that stand for the number of rows.
    """
    if isinstance(op, Arange | SizeOf):
        return bool(op.letters & names)
    if not any(letters_in(tensor.shape) & names for tensor in inputs):
        return False
    return op.mixes_rows(inputs) or not all(_has_rows(tensor, names) for tensor in outputs)


def _has_rows(tensor: Tensor, names: frozenset[str]) -> bool:
    """Whether the rows lie along axis 0, and only there."""
    front, behind = tensor.shape[:1], tensor.shape[1:]
    return bool(front) and str(front[0]) in names and not letters_in(behind) & names
