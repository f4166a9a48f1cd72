"""Step form: time first, and with a mask the valid steps of every row in front.

A mask may have any pattern. Moving the valid steps of each row to the front, in order, lets one fused node
with ``sequence_lens`` compute exactly what Keras computes by skipping steps. With ``m`` the mask, ``C`` its
running sum over time and ``n`` its row sums, step ``t`` goes to::

    dest = C - 1        where m          n + t - C   where not m        a permutation of 0 .. T - 1

Behind the end of a row onnxruntime gives zeros, which the way back reads at masked steps (the zero rule);
the hold rule reads the last valid step instead. The way back is one Gather of rows, which undoes the
permutation, the transposition and the padding together.

Sizes are padded to N' = max(N, 1) and T' = max(T, 1): onnxruntime 1.31 kills the process over an empty
batch.

Measured on one core, both ways, H = 64, T = 100, N = 1 to 128: without a mask the Gather takes as long as
Transpose, Reshape and Slice would, within 2 %; the Pad of ``(N, T, 128)`` floats costs at most 1.5 %.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import onnx_ir as ir

from biport.errors import UnsupportedError
from export.builder import Builder, Operand, Scope
from export.flow import Flow

BEFORE_FIRST = -(2**63)
"""Where a Slice that walks backward through the first element ends."""

_ZERO = np.zeros((), "float32")


class Sizes:
    """N and T of a value at run time, and the padding that makes them at least 1."""

    def __init__(self, scope: Scope, root: Flow) -> None:
        self.scope = scope
        self.root = root
        self.fixed = [dim for dim in root.tensor.shape[:2] if isinstance(dim, int) and dim > 0]
        self.guarded = len(self.fixed) < 2
        self._made_pads: dict[int, ir.Value] = {}
        self._compared: dict[int, ir.Value] = {}

    @cached_property
    def shape(self) -> ir.Value:
        """``[N, T]``."""
        return self.scope("Shape", self.root.value(), start=0, end=2)

    @cached_property
    def padded(self) -> ir.Value:
        """``[N', T']``."""
        return self.scope("Max", self.shape, [1, 1])

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
    def _missing(self) -> ir.Value:
        return self.scope("Sub", self.padded, self.shape)

    def _pads(self, rank: int) -> ir.Value:
        """What `pad` adds to a value of ``rank`` dimensions, in front and behind.

        Said for all axes: onnxruntime 1.31 moves transpositions behind a ``Pad`` and forgets its ``axes``
        ("indices element out of data bounds").
        """
        if rank not in self._made_pads:
            behind = [[0] * (rank - 2)] if rank > 2 else []
            self._made_pads[rank] = self.scope("Concat", [0] * rank, self._missing, *behind, axis=0)
        return self._made_pads[rank]

    def pad(self, scope: Scope, x: ir.Value, rank: int) -> ir.Value:
        """``(N, T, ...)``, of ``rank`` dimensions, to ``(N', T', ...)``."""
        return scope("Pad", x, self._pads(rank)) if self.guarded else x

    def pad_batch(self, scope: Scope, x: ir.Value) -> ir.Value:
        """``(N, H)`` to ``(N', H)``."""
        if not self.guarded:
            return x
        missing = scope("Slice", self._missing, [0], [1])
        return scope("Pad", x, scope("Concat", [0, 0], missing, [0], axis=0))

    def crop(self, scope: Scope, x: ir.Value) -> ir.Value:
        """``(N', T', ...)`` to ``(N, T, ...)``."""
        return scope("Slice", x, [0, 0], self.shape, [0, 1]) if self.guarded else x

    def zeros(self, scope: Scope, width: int) -> ir.Value:
        """``(N', width)``."""
        if isinstance(self.N, list):
            return scope.constant(np.zeros((*self.N, width), "float32"), "zeros")
        return scope("ConstantOfShape", scope("Concat", self.N, [width], axis=0))

    def crop_batch(self, scope: Scope, x: ir.Value) -> ir.Value:
        """``(N', ...)`` to ``(N, ...)``."""
        return scope("Slice", x, [0], self.batch, [0]) if self.guarded else x


class Layout:
    """The step form of one size and mask; what it needs is written once and shared by all its layers.

    Args:
        sizes: N and T.
        mask: the ``(N, T)`` mask, or ``None``.
    """

    def __init__(self, scope: Scope, sizes: Sizes, mask: Flow | None) -> None:
        self.scope = scope
        self.sizes = sizes
        self.mask = mask
        self._indices: dict[object, ir.Value] = {}

    def enter(self, flow: Flow) -> ir.Value:
        """``(N, T)`` or ``(N, T, I)`` to ``(T', N')`` or ``(T', N', I)``."""
        x = self.sizes.pad(self.scope, flow.value(), len(flow.tensor.shape))
        if len(flow.tensor.shape) == 2:
            if self.mask is not None:
                x = self.scope("ScatterElements", x, self._dest, x, axis=1)
            return self.scope("Transpose", x, perm=[1, 0])
        if self.mask is None:
            return self.scope("Transpose", x, perm=[1, 0, 2])
        return self.scope("Gather", self.scope("Reshape", x, [-1, _width(flow)]), self._source, axis=0)

    def leave(
        self, scope: Scope, y: ir.Value, width: int, directions: int, *, hold: bool, reverse: bool
    ) -> ir.Value:
        """``(T', D, N', H)`` or ``(T', N', H)`` to ``(N, T, D·H)``.

        Args:
            hold: a masked step repeats the output of the step walked before it, not zeros.
            reverse: the first step given is the last in time.
        """
        rows = scope("Reshape", y, [-1, width])
        out = scope("Gather", rows, self._index(directions, hold, reverse), axis=0)
        return out if directions == 1 else scope("Reshape", out, [0, 0, directions * width])

    def last(self, scope: Scope, y: ir.Value, *, zero: bool, reverse: bool, initial: bool) -> ir.Value:
        """The last output ``(N', O)`` to ``(N, O)``, zeros where no step is valid.

        Args:
            zero: zeros where the last step walked is masked, too.
            initial: the walk began with states, and ``y`` has those where no step is valid.
        """
        rest = _ZERO if initial or self.mask is None else None
        y = self._settled(scope, y, rest)
        if self.mask is not None and zero:
            at = self.scope("Gather", self._valid, [0 if reverse else -1], axis=1)
            y = scope("Where", self.scope("Cast", at, to=ir.DataType.BOOL), y, _ZERO)
        return self.sizes.crop_batch(scope, y)

    def state(self, scope: Scope, y: ir.Value, initial: ir.Value | None) -> ir.Value:
        """A final state ``(N', H)`` to ``(N, H)``, the initial one where no step is valid.

        Args:
            initial: ``(N', H)``; ``None`` for zeros, which a masked walk gives by itself.
        """
        rest = initial if initial is not None else _ZERO if self.mask is None else None
        return self.sizes.crop_batch(scope, self._settled(scope, y, rest))

    def _settled(self, scope: Scope, y: ir.Value, rest: Operand) -> ir.Value:
        """``y``, and ``rest`` where no step is valid."""
        if rest is None or self._idle is None:
            return y
        return scope("Where", self._idle, rest, y)

    @cached_property
    def _idle(self) -> ir.Value | None:
        """Which rows have no step, ``(N', 1)`` or one answer for all; ``None`` where all have some."""
        if self.mask is not None:
            return self.scope("Equal", self._count, [0])
        return self.scope("Equal", self.sizes.time, [0]) if self.sizes.guarded else None

    def valid(self, scope: Scope) -> ir.Value | None:
        """Which steps are not behind the end of their row, ``(T', N', 1)``; ``None`` without a mask.

        Written where it is asked for, which is seldom, and may be inside of a branch.
        """
        if self.mask is None:
            return None
        return scope("Less", scope("Unsqueeze", self._time, [1, 2]), self._count)

    @cached_property
    def lengths(self) -> ir.Value | None:
        """``sequence_lens``, ``(N',)`` int32; ``None`` without a mask."""
        if self.mask is None:
            return None
        return self.scope("Cast", self.scope("Squeeze", self._count, [1]), to=ir.DataType.INT32)

    @cached_property
    def _valid(self) -> ir.Value:
        assert self.mask is not None
        mask = self.scope("Cast", self.mask.value(), to=ir.DataType.INT64)
        return self.sizes.pad(self.scope, mask, 2)

    @cached_property
    def _running(self) -> ir.Value:
        return self.scope("CumSum", self._valid, np.asarray(1, "int64"))

    @cached_property
    def _count(self) -> ir.Value:
        return self.scope("ReduceSum", self._valid, [1], keepdims=1)

    @cached_property
    def _time(self) -> Operand:
        return self.sizes.span(self.sizes.T)

    @cached_property
    def _rows(self) -> ir.Value:
        return self.scope("Unsqueeze", self.sizes.span(self.sizes.N), [1])

    @cached_property
    def _dest(self) -> ir.Value:
        front = self.scope("Sub", self._running, [1])
        back = self.scope("Add", self._count, self.scope("Sub", self._time, self._running))
        valid = self.scope("Cast", self._valid, to=ir.DataType.BOOL)
        return self.scope("Where", valid, front, back)

    @cached_property
    def _source(self) -> ir.Value:
        flat = self.scope("Add", self.scope("Mul", self._rows, self.sizes.T), self._time)
        front = self.scope("ScatterElements", flat, self._dest, flat, axis=1)
        return self.scope("Transpose", front, perm=[1, 0])

    def _index(self, directions: int, hold: bool, reverse: bool) -> ir.Value:
        """For each output step the row of ``(T'·D·N', H)`` that it reads, ``(N, T)`` or ``(N, T, D)``."""
        key = (directions, hold and self.mask is not None, reverse)
        if key not in self._indices:
            step = self._step(hold, reverse)
            if reverse:
                step = self.scope("Slice", step, [-1], [BEFORE_FIRST], [-1], [-1])
            stride = self.sizes.N if directions == 1 else self.scope("Mul", self.sizes.N, [directions])
            index = self.scope("Add", self.scope("Mul", step, stride), self._rows)
            index = self.sizes.crop(self.scope, index)
            if directions > 1:
                halves = self.scope("Mul", self.sizes.N, list(range(directions)))
                index = self.scope("Add", self.scope("Unsqueeze", index, [2]), halves)
            self._indices[key] = index
        return self._indices[key]

    def _step(self, hold: bool, reverse: bool) -> Operand:
        """For each step in time the step of the step form that it reads, ``(N', T')`` or ``(T',)``."""
        if self.mask is None:
            return self._time
        if not hold:
            return self._dest
        # A step before the first valid one reads zeros. Walking forward its index is -1, which Gather takes
        # from the end: the last step, and as this row has a masked step, that is behind the row's end.
        # Walking backward it is n, right behind the end.
        return self.scope("Sub", self._running, self._valid if reverse else [1])


class Layouts:
    """The layouts of one graph: one for each mask, and one for each unmasked size."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._sizes: dict[int, Sizes] = {}
        self._made: dict[tuple[int, int], Layout] = {}

    def sizes(self, flow: Flow, name: str) -> Sizes:
        """N and T of ``flow``, shared by all flows of the same root."""
        root = flow.root
        if id(root) not in self._sizes:
            self._sizes[id(root)] = Sizes(self._builder.scope(f"{name}/sizes"), root)
        return self._sizes[id(root)]

    def layout(self, flow: Flow, mask: Flow | None, name: str) -> Layout:
        """The layout in which a recurrent layer called ``name`` walks ``flow`` under ``mask``."""
        source = flow if mask is None else mask
        key = (id(source.root), id(mask))
        if key not in self._made:
            scope = self._builder.scope(f"{name}/steps")
            self._made[key] = Layout(scope, self.sizes(source, name), mask)
        return self._made[key]


def _width(flow: Flow) -> int:
    width = flow.tensor.shape[-1]
    if not isinstance(width, int):
        raise UnsupportedError(
            "export to ONNX", "width of a recurrent layer's input", width, "a fixed number"
        )
    return width
