"""N and T at run time: padded to at least 1, cropped again, and compared.

onnxruntime 1.31 kills the process over an empty batch in a recurrent node, so that ``(N, T, ...)`` is padded
to N' = max(N, 1) and T' = max(T, 1), or max(T, 2) under a mask, see `export.onnx.step_layout`. Measured on
one core, both ways, H = 64, T = 100, N = 1 to 128: the Pad of ``(N, T, 128)`` floats costs at most 1.5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import onnx_ir as ir

from export.onnx.builder import Operand, Scope
from export.onnx.lazy_value import LazyValue


class DynamicSizes:
    """N and T of a value at run time, and the padding that makes them large enough.

    Args:
        root: the value.
        steps: T' at least.
    """

    def __init__(self, scope: Scope, root: LazyValue, steps: int = 1) -> None:
        self.scope = scope
        self.root = root
        self.least = [1, steps]
        sizes = zip(root.tensor.shape[:2], self.least, strict=True)
        self.fixed = [dim for dim, least in sizes if isinstance(dim, int) and dim >= least]
        self.guarded = len(self.fixed) < 2
        self._pads_by_rank: dict[int, ir.Value] = {}
        self._compared: dict[int, ir.Value] = {}

    @cached_property
    def shape(self) -> ir.Value:
        """``[N, T]``."""
        return self.scope("Shape", self.root.value(), start=0, end=2)

    @cached_property
    def padded(self) -> ir.Value:
        """``[N', T']``."""
        return self.scope("Max", self.shape, self.least)

    @cached_property
    def N(self) -> Operand:  # noqa: N802
        """``[N']``."""
        return self.scope("Slice", self.padded, [0], [1]) if self.guarded else self.fixed[:1]

    @cached_property
    def T(self) -> Operand:  # noqa: N802
        """``[T']``."""
        return self.scope("Slice", self.padded, [1], [2]) if self.guarded else self.fixed[1:]

    def span(self, size: Operand) -> Operand:
        """``[0, 1, ..., size - 1]``, for `N` or `T`."""
        if isinstance(size, list):
            return list(range(size[0]))
        start, step = np.asarray(0, "int64"), np.asarray(1, "int64")
        return self.scope("Range", start, self.scope("Squeeze", size, [0]), step)

    def batches(self, times: Sequence[int]) -> Operand:
        """N' times each of ``times``."""
        if isinstance(self.N, list):
            return [self.N[0] * number for number in times]
        return self.N if list(times) == [1] else self.scope("Mul", self.N, list(times))

    @cached_property
    def rows(self) -> Operand:
        """``[[0], [1], ..., [N' - 1]]``."""
        if isinstance(self.N, list):
            return np.arange(self.N[0])[:, None]
        return self.scope("Unsqueeze", self.span(self.N), [1])

    @cached_property
    def indices(self) -> Operand:
        """The index of each step among all N'·T' of them, ``(N', T')``."""
        if isinstance(self.N, list) and isinstance(self.T, list):
            return np.arange(self.N[0] * self.T[0]).reshape(*self.N, *self.T)
        return self.scope("Add", self.scope("Mul", self.rows, self.T), self.span(self.T))

    @cached_property
    def batch(self) -> ir.Value:
        """``[N]``."""
        return self.scope("Slice", self.shape, [0], [1])

    def at_least(self, size: int) -> ir.Value:
        """Whether N is ``size`` or more, ``(1,)``."""
        if size not in self._compared:
            self._compared[size] = self.scope("GreaterOrEqual", self.batch, [size])
        return self._compared[size]

    @cached_property
    def time(self) -> ir.Value:
        """``[T]``."""
        return self.scope("Slice", self.shape, [1], [2])

    @cached_property
    def last_step(self) -> Operand:
        """``[T - 1]``, or ``[0]`` where there is none."""
        if not self.guarded:
            return [self.fixed[1] - 1]
        return self.scope("Max", self.scope("Sub", self.time, [1]), [0])

    @cached_property
    def _missing(self) -> ir.Value:
        return self.scope("Sub", self.padded, self.shape)

    def _pads(self, rank: int) -> ir.Value:
        """What `pad` adds to a value of ``rank`` dimensions, in front and behind.

        Said for all axes: onnxruntime 1.31 moves transpositions behind a ``Pad`` and forgets its ``axes``
        ("indices element out of data bounds").
        """
        if rank not in self._pads_by_rank:
            behind = [[0] * (rank - 2)] if rank > 2 else []
            self._pads_by_rank[rank] = self.scope("Concat", [0] * rank, self._missing, *behind, axis=0)
        return self._pads_by_rank[rank]

    def pad(self, scope: Scope, x: ir.Value, rank: int) -> ir.Value:
        """``(N, T, ...)``, of ``rank`` dimensions, to ``(N', T', ...)``."""
        return scope("Pad", x, self._pads(rank)) if self.guarded else x

    def pad_batch(self, scope: Scope, x: ir.Value, rank: int = 2, axis: int = 0) -> ir.Value:
        """``(N, H)`` to ``(N', H)``, or likewise along another axis of ``rank`` dimensions."""
        if not self.guarded:
            return x
        missing = scope("Slice", self._missing, [0], [1])
        rest = [[0] * (rank - axis - 1)] if axis < rank - 1 else []
        return scope("Pad", x, scope("Concat", [0] * (rank + axis), missing, *rest, axis=0))

    def crop(self, scope: Scope, x: ir.Value) -> ir.Value:
        """``(N', T', ...)`` to ``(N, T, ...)``."""
        return scope("Slice", x, [0, 0], self.shape, [0, 1]) if self.guarded else x

    def zeros(self, scope: Scope, shape: Sequence[int]) -> ir.Value:
        """``(N', *shape)``."""
        if isinstance(self.N, list):
            return scope.constant(np.zeros((*self.N, *shape), "float32"), "zeros")
        return scope("ConstantOfShape", scope("Concat", self.N, list(shape), axis=0))

    def crop_batch(self, scope: Scope, x: ir.Value) -> ir.Value:
        """``(N', ...)`` to ``(N, ...)``."""
        return scope("Slice", x, [0], self.batch, [0]) if self.guarded else x
