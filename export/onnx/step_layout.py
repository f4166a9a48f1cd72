"""Step form: time first, and with a mask the valid steps of every row in front, and no more than are needed.

A mask may have any pattern. Moving the valid steps of each row to the front, in order, lets one fused node
with ``sequence_lens`` compute exactly what Keras computes by skipping steps. With ``m`` the mask, ``C`` its
running sum over time, ``n`` its row sums, and ``D`` the running sum of ``1 - m``, a step goes to::

    dest = C - 1        where m          n + D - 1   where not m        a permutation of 0 .. T - 1

Behind the end of a row onnxruntime gives zeros, which the way back reads at masked steps (the zero rule); the
carry rule reads the last valid step instead. A row without a valid step is run over one, whose results nobody
reads: a length of 0 is not in the standard, and onnxruntime's RNN reads before its buffer there up to 1.25.
Such a row reads step 1, so that under a mask S and T' are at least 2. The way back is one Gather of rows,
which undoes the permutation, the transposition and the padding together.

Steps are cut off behind the longest row: S = min(max(n, 1) + 1, T') are kept, so that a row with a masked
step has one behind its end to read zeros from. An input padded to a fixed T costs what its longest row does.

Under the contract ``right-padded`` nothing is moved, because the valid steps are in front as they come. The
graph checks that while it runs: where a row has a valid step behind its n-th, a ``Reshape`` is given a shape
that is none. Every execution provider refuses that; an index out of range, only the CPU's.

Without a mask S = T'. Sizes are padded to N' = max(N, 1) and T' = max(T, 1) or max(T, 2), see
`export.onnx.dynamic_sizes`.

Measured on one core, both ways, H = 64, T = 100, N = 1 to 128: without a mask the Gather takes as long as
Transpose, Reshape and Slice would, within 2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import onnx_ir as ir

from biport.errors import UnsupportedError
from export.onnx.builder import Operand, Scope
from export.onnx.dynamic_sizes import DynamicSizes
from export.onnx.lazy_value import LazyValue

BEFORE_FIRST = -(2**63)
"""Where a Slice that goes backward through the first element ends."""

BEHIND_LAST = 2**63 - 1
"""Where one that goes forward through the last element ends, or one that goes backward begins."""

RIGHT_PADDED = "right-padded"
"""The contract that every row's valid steps are in front; also in the names of the nodes that check it."""

CONTRACTS = (RIGHT_PADDED,)

_ZERO = np.zeros((), "float32")


class StepLayout:
    """The step form of one size and mask; what it needs is written once and shared by all its layers.

    Args:
        sizes: N and T.
        mask: the ``(N, T)`` mask, or ``None``.
        moved: whether valid steps have to be moved to the front; otherwise the graph checks that they are
            there.
    """

    def __init__(self, scope: Scope, sizes: DynamicSizes, mask: LazyValue | None, moved: bool = True) -> None:
        self.scope = scope
        self.sizes = sizes
        self.mask = mask
        self.moved = moved and mask is not None
        self._indices: dict[object, ir.Value] = {}

    def enter(self, value: LazyValue) -> ir.Value:
        """``(N, T)`` or ``(N, T, ...)`` to ``(S, N')`` or ``(S, N', ...)``."""
        rank = len(value.tensor.shape)
        x = self.sizes.pad(self.scope, value.value(), rank)
        if self.moved and rank > 2:
            rows = self.scope("Reshape", x, [-1, *behind_steps(value)])
            return self.scope("Gather", rows, self._source, axis=0)
        if self.moved:
            x = self.scope("ScatterElements", x, self._dest, x, axis=1)
        return self.scope("Transpose", self._cut(x), perm=[1, 0, *range(2, rank)])

    def _cut(self, x: Operand) -> ir.Value:
        """``(N', T', ...)`` to ``(N', S, ...)``."""
        return x if self.mask is None else self.scope("Slice", x, [0], self._end, [1])  # type: ignore

    def directions(self, scope: Scope, y: ir.Value, count: int, width: int) -> list[ir.Value]:
        """What a node of ``count`` directions gives, ``(S, D, N', H)``, one by one, ``(S, N', H)``."""
        if count == 1:
            return [scope("Squeeze", y, [1])]
        split = scope.several("Split", y, wanted=[True] * count, axis=1, num_outputs=count)
        return [scope("Squeeze", part, [1]) for part in split]

    def beside(self, scope: Scope, y: ir.Value, count: int, width: int) -> ir.Value:
        """What a node of ``count`` directions gives, ``(S, D, N', H)``, side by side, ``(S, N', D·H)``."""
        return scope("Reshape", scope("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, count * width])

    def leave(
        self,
        scope: Scope,
        y: ir.Value,
        shape: Sequence[int],
        directions: int,
        *,
        carry: bool,
        reverse: bool,
    ) -> ir.Value:
        """``(S, D, N', H)`` or ``(S, N', ...)`` to ``(N, T, D·H)`` or ``(N, T, ...)``.

        Args:
            shape: of a step behind the rows, of one direction: ``(H,)``, or more sizes.
            carry: a masked step repeats the output of the step computed before it, not zeros.
            reverse: the first step given is the last in time.
        """
        rows = scope("Reshape", y, [-1, *shape])
        out = scope("Gather", rows, self._index(directions, carry, reverse), axis=0)
        return out if directions == 1 else scope("Reshape", out, [0, 0, directions * shape[-1]])

    def last(self, scope: Scope, y: ir.Value, *, zero: bool, reverse: bool, rank: int = 1) -> ir.Value:
        """The last output ``(N', ...)`` to ``(N, ...)``, zeros where no step is valid.

        Args:
            zero: zeros where the last step computed is masked, too.
            reverse: the last step computed is the first in time.
            rank: how many sizes it has behind the rows.
        """
        y = self._settled(scope, y, _ZERO, rank)
        if self.mask is not None and zero:
            last = [0] if reverse else self.sizes.last_step
            kept = over_axes(self.scope, self.scope("Gather", self._mask, last, axis=1), 2, 1 + rank)
            y = scope("Where", kept, y, _ZERO)
        return self.sizes.crop_batch(scope, y)

    def state(self, scope: Scope, y: ir.Value, initial: ir.Value | None, rank: int = 1) -> ir.Value:
        """A final state ``(N', ...)`` to ``(N, ...)``, the initial one where no step is valid.

        Args:
            initial: ``(N', ...)``; ``None`` for zeros.
            rank: how many sizes it has behind the rows.
        """
        rest = _ZERO if initial is None else initial
        return self.sizes.crop_batch(scope, self._settled(scope, y, rest, rank))

    def _settled(self, scope: Scope, y: ir.Value, rest: Operand, rank: int) -> ir.Value:
        """``y``, and ``rest`` where no step is valid."""
        idle = self._idle
        if idle is None:
            return y
        return scope("Where", idle if self.mask is None else over_axes(scope, idle, 2, 1 + rank), rest, y)

    @cached_property
    def _idle(self) -> ir.Value | None:
        """Which rows have no step, ``(N', 1)`` or one answer for all; ``None`` where all have some."""
        if self.mask is not None:
            return self.scope("Equal", self._count, [0])
        return self.scope("Equal", self.sizes.time, [0]) if self.sizes.guarded else None

    def valid(self, scope: Scope) -> ir.Value | None:
        """Which steps are not behind the end of their row, ``(S, N', 1)``; ``None`` without a mask.

        Written where it is asked for, which is seldom, and may be inside of a branch.
        """
        if self.mask is None:
            return None
        kept = scope("Slice", self._time, [0], self._end, [0])
        return scope("Less", scope("Unsqueeze", kept, [1, 2]), self._count)

    @cached_property
    def lengths(self) -> ir.Value | None:
        """``sequence_lens``, ``(N',)`` int32 of 1 or more; ``None`` without a mask."""
        if self.mask is None:
            return None
        return self.scope("Cast", self._at_least_one, to=ir.DataType.INT32)

    @cached_property
    def _at_least_one(self) -> ir.Value:
        """max(n, 1) of each row, ``(N',)``."""
        return self.scope("Max", self.scope("Squeeze", self._count, [1]), [1])

    @cached_property
    def _mask(self) -> ir.Value:
        """The mask, ``(N', T')``."""
        assert self.mask is not None
        return self.sizes.pad(self.scope, self.mask.value(), 2)

    @cached_property
    def _valid(self) -> ir.Value:
        """The mask in numbers."""
        return self.scope("Cast", self._mask, to=ir.DataType.INT64)

    @cached_property
    def _running(self) -> ir.Value:
        return self.scope("CumSum", self._valid, np.asarray(1, "int64"))

    @cached_property
    def _count(self) -> ir.Value:
        """n of each row, ``(N', 1)``."""
        count = self.scope("ReduceSum", self._valid, [1], keepdims=1)
        if self.moved:
            return count
        scope = Scope(self.scope.builder, f"{self.scope.name}/{RIGHT_PADDED}")
        time = self._time
        ends = [step + 1 for step in time] if isinstance(time, list) else scope("Add", time, [1])
        positions = scope("Mul", self._valid, ends)
        # How far the last valid step of any row lies behind the n-th.
        behind = scope("ReduceMax", scope("Sub", positions, count), keepdims=0)
        return scope("Reshape", count, scope("Sub", [-1, 1], behind))

    @cached_property
    def _longest(self) -> ir.Value:
        """max(n, 1), ``(1,)``."""
        return self.scope("Max", self.scope("ReduceMax", self._count, [0], keepdims=0), [1])

    @cached_property
    def _end(self) -> ir.Value:
        """``[S]``, or ``[T' + 1]`` where S = T': a Slice ends there as well."""
        return self.scope("Add", self._longest, [1])

    @cached_property
    def _time(self) -> Operand:
        return self.sizes.span(self.sizes.T)

    @cached_property
    def _dest(self) -> ir.Value:
        masked = self.scope("CumSum", self.scope("Sub", [1], self._valid), np.asarray(1, "int64"))
        counted = self.scope("Where", self._mask, self._running, self.scope("Add", self._count, masked))
        return self.scope("Sub", counted, [1])

    @cached_property
    def _front(self) -> Operand:
        """The indices of the steps of each row, its valid ones in front, ``(N', T')``."""
        indices = self.sizes.indices
        return self.scope("ScatterElements", indices, self._dest, indices, axis=1) if self.moved else indices

    @cached_property
    def _source(self) -> ir.Value:
        return self.scope("Transpose", self._cut(self._front), perm=[1, 0])

    def _index(self, directions: int, carry: bool, reverse: bool) -> ir.Value:
        """For each output step the row of ``(T'·D·N', H)`` that it reads, ``(N, T)`` or ``(N, T, D)``."""
        key = (directions, carry and self.mask is not None, reverse)
        if key not in self._indices:
            step = self._step(carry, reverse)
            index = self.scope("Mul", step, self._stride(directions))
            index = self.scope("Add", index, self._first(directions))
            index = self.sizes.crop(self.scope, index)
            if reverse:
                index = self.scope("Slice", index, [-1], [BEFORE_FIRST], [1], [-1])
            if directions > 1:
                index = self.scope("Add", self.scope("Unsqueeze", index, [2]), self._apart(directions))
            self._indices[key] = index
        return self._indices[key]

    def _stride(self, directions: int) -> Operand:
        """How many rows of ``(S·D·N', H)`` lie between two steps of a row."""
        return self.sizes.batches([directions])

    def _first(self, directions: int) -> Operand:
        """The first one of each row."""
        return self.sizes.rows

    def _apart(self, directions: int) -> Operand:
        """How far that of each direction lies behind that of the first."""
        return self.sizes.batches(range(directions))

    def _step(self, carry: bool, reverse: bool) -> Operand:
        """For each step in time the step of the step form that it reads, ``(N', T')`` or ``(T',)``."""
        if self.mask is None:
            return self._time
        # What a row without a valid step has at step 0 is not to be read; behind its end it has zeros.
        return self.scope("Where", self._idle, [1], self._step_of_valid(carry, reverse))

    def _step_of_valid(self, carry: bool, reverse: bool) -> ir.Value:
        """`_step` for rows that have a valid step."""
        if not carry:
            step = self._dest if self.moved else self._time
            return self.scope("Min", step, self._last)
        # A step before the first valid one reads zeros. Going forward its index is -1, which Gather takes
        # from the end: the last step, and as this row has a masked step, that is behind the row's end.
        # Going backward it is n, right behind the end.
        if self.moved:
            if reverse:
                return self.scope("Sub", self._running, self._valid)
            return self._from_end(self.scope("Sub", self._running, [1]))
        end = self._count if reverse else self.scope("Sub", self._count, [1])
        return self.scope("Min", self._time, end)

    @property
    def _last(self) -> ir.Value:
        """The last step of the step form, or one behind."""
        return self._longest

    def _from_end(self, step: ir.Value) -> ir.Value:
        """Steps of which -1 is the last one."""
        return step


def over_axes(scope: Scope, mask: ir.Value, rank: int, wanted: int) -> ir.Value:
    """A mask of some rank with sizes of 1 behind, up to the rank that is wanted."""
    return mask if rank == wanted else scope("Unsqueeze", mask, list(range(rank, wanted)))


def behind_steps(value: LazyValue) -> tuple[int, ...]:
    """The sizes of ``(N, T, ...)`` behind the steps."""
    shape = value.tensor.shape[2:]
    fixed = tuple(size for size in shape if isinstance(size, int))
    if len(fixed) < len(shape):
        given = ", ".join(map(str, shape))
        raise UnsupportedError(
            "export to ONNX", "a recurrent layer's input behind its steps", given, "fixed sizes"
        )
    return fixed
