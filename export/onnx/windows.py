"""Windows over the axes between batch and features: how they are padded, and what is too short for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from biport.ops import Dim
from biport.ops.windows import Padding, axis_padding
from export.onnx.builder import Operand, Scope


@dataclass(frozen=True)
class Windows:
    """Windows over ``(N, I, *T)``.

    Args:
        sizes: T, as the graph has them.
        spans: how many elements a window reaches over along each axis.
        strides: from one window to the next.
        padding: as ops have it.
        dilated: whether there are elements between those of a window.
    """

    sizes: Sequence[Dim]
    spans: Sequence[int]
    strides: Sequence[int]
    padding: Padding
    dilated: bool = False

    @property
    def pads(self) -> list[tuple[int, int]] | None:
        """How much is put before and behind each axis; ``None`` where that depends on the length of one."""
        known = [self._along(axis) for axis in range(len(self.sizes))]
        pads = [pair for pair in known if pair is not None]
        return pads if len(pads) == len(known) else None

    @property
    def computed(self) -> bool:
        """Whether what depends on a length has to be put around the input by a ``Pad``.

        ``SAME_UPPER`` is left to onnxruntime where it can do it: 1.31 refuses it for dilated windows, and
        where there are steps between two windows it gives other numbers than TensorFlow.
        """
        apart = any(stride > span for stride, span in zip(self.strides, self.spans, strict=True))
        return self.pads is None and (self.dilated or apart)

    def padded(self, scope: Scope, x: ir.Value, fill: float = 0.0) -> tuple[ir.Value, dict[str, Any]]:
        """``(N, I, *T)`` ready for the windows, and the attributes of the node that cuts them."""
        pads = self.pads
        if pads is not None:
            return x, {} if not any(map(any, pads)) else {"pads": [*_firsts(pads), *_seconds(pads)]}
        if not self.computed:
            return x, {"auto_pad": "SAME_UPPER"}
        each = [self._put(scope, x, axis) for axis in range(len(self.sizes))]
        pads = scope("Concat", [0, 0], *_firsts(each), [0, 0], *_seconds(each), axis=0)
        return scope("Pad", x, pads, np.asarray(fill, "float32")), {}

    def _along(self, axis: int) -> tuple[int, int] | None:
        padding, span, stride = axis_padding(self.padding, axis), self.spans[axis], self.strides[axis]
        if isinstance(padding, tuple):
            return padding
        if padding == "valid":
            return 0, 0
        if padding == "causal":
            return span - 1, 0
        if stride == 1:
            return (span - 1) // 2, span // 2
        size = self.sizes[axis]
        if not isinstance(size, int):
            return None
        total = max((size - 1) // stride * stride + span - size, 0)
        return total // 2, total - total // 2

    def _put(self, scope: Scope, x: ir.Value, axis: int) -> tuple[Operand, Operand]:
        """What is put before and behind an axis, each ``(1,)``: ⌈T / stride⌉ windows lie within.

        One more behind where it is odd. Over no steps nothing is put, so that the node that cuts the windows
        refuses them.
        """
        known = self._along(axis)
        if known is not None:
            return [known[0]], [known[1]]
        span, stride = self.spans[axis], self.strides[axis]
        time = scope("Shape", x, start=2 + axis, end=3 + axis)
        last = scope("Mul", scope("Div", scope("Sub", time, [1]), [stride]), [stride])
        total = scope("Max", scope("Sub", scope("Add", last, [span]), time), [0])
        total = scope("Mul", total, scope("Min", time, [1]))
        front = scope("Div", total, [2])
        return front, scope("Sub", total, front)


def _firsts(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    return [first for first, _ in pairs]


def _seconds(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    return [second for _, second in pairs]
