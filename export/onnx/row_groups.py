"""Step form over groups of rows of like lengths, so that padding is not computed.

Rows are sorted by length, the longest first, and cut into groups; each group has as many steps as its own
longest row and, where there are any, one behind. Instead of the step form ``(S, N', ...)`` stand the steps of
one group after another, ``(R, 1, ...)``, with the rows of a step side by side: where group k has S_k steps
of w_k rows, R is the sum of S_k·w_k. What works on each step by itself, such as an embedding, sees no
difference but R < S·N'.

An ``If`` decides while the graph runs: below two groups of rows, or where not a tenth of the steps can be
left out, there is one group of all rows as they come, which is the step form of `StepLayout`.

A recurrent layer runs in a ``Loop`` over the groups, see `export.recurrent.lowering`. It reads a table with a
column a group: its rows, its steps, where it begins and where it ends. The way back reads another, with an
entry a row: the rows and steps of its group, where that begins, and the position of the row in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from export.onnx.branches import either
from export.onnx.builder import Operand, Scope
from export.onnx.dynamic_sizes import DynamicSizes
from export.onnx.lazy_value import LazyValue
from export.onnx.step_layout import BEHIND_LAST, StepLayout, behind_steps

ROW_GROUPS = "row_groups"
"""In the names of the nodes that decide on groups: what is not for a CPU leaves these out."""

_INT = ir.DataType.INT64
_WIDTH, _STEPS, _BEGIN, _POSITION, _ORDER, _RANK = range(6)


@dataclass(frozen=True)
class _Plan:
    """Which rows are together.

    Args:
        source: which step each step of the form is, among all N'·T' of them: ``(R, 1)``, or ``(S, N')``.
        groups: the rows and steps of each group, its begin and its end in R, ``(4, K)``.
        rows: of each row the rows and steps of its group and its begin, and its position in it; then the row
            at each rank, and the rank of each row, ``(6, N', 1)``.
    """

    source: ir.Value
    groups: ir.Value
    rows: ir.Value


class GroupedLayout(StepLayout):
    """The step form of a mask, in groups of rows where that is worth while.

    Args:
        size: rows a group.
    """

    def __init__(self, scope: Scope, sizes: DynamicSizes, mask: LazyValue, moved: bool, size: int) -> None:
        super().__init__(scope, sizes, mask, moved)
        self.size = size
        self._columns: dict[int, ir.Value] = {}
        self._aheads: dict[int, ir.Value] = {}

    @cached_property
    def grouped(self) -> ir.Value:
        """Whether there is more than one group, ``(1,)``."""
        return self.scope("Greater", self._every, [1])

    @cached_property
    def count(self) -> ir.Value:
        """How many groups there are, int64 ``()``; 0 for one."""
        groups = self.scope("Where", self.grouped, self._every, [0])
        return self.scope("Squeeze", groups, [0])

    @cached_property
    def _every(self) -> ir.Value:
        return self.scope("Shape", self.groups, start=1, end=2)

    @property
    def groups(self) -> ir.Value:
        """The rows and steps of each group, its begin and its end, ``(4, K)``."""
        return self._plan.groups

    @property
    def source(self) -> ir.Value:
        """Which step, among all N'·T' of them, each step of the form is: ``(R, 1)``, or ``(S, N')``."""
        return self._plan.source

    @property
    def order(self) -> ir.Value:
        """The rows from the first of the first group to the last of the last, ``(N', 1)``."""
        return self._column(_ORDER)

    @property
    def rank(self) -> ir.Value:
        """Where each row is in `order`, ``(N', 1)``."""
        return self._column(_RANK)

    def enter(self, value: LazyValue) -> ir.Value:
        """``(N, T)`` or ``(N, T, ...)`` to step form."""
        x = self.sizes.pad(self.scope, value.value(), len(value.tensor.shape))
        steps = self.scope("Reshape", x, [-1, *behind_steps(value)])
        return self.scope("Gather", steps, self.source, axis=0)

    def directions(self, scope: Scope, y: ir.Value, count: int, width: int) -> list[ir.Value]:
        """What a node gives, to step form for each direction."""
        if count == 1:
            return super().directions(scope, y, count, width)
        rows = scope("Reshape", y, [-1, width])
        return [
            scope("Gather", rows, scope("Gather", self._ahead(count), np.asarray(number), axis=-1), axis=0)
            for number in range(count)
        ]

    def beside(self, scope: Scope, y: ir.Value, count: int, width: int) -> ir.Value:
        """What a node of several directions gives, to step form with these side by side."""
        rows = scope("Gather", scope("Reshape", y, [-1, width]), self._ahead(count), axis=0)
        return scope("Reshape", rows, [0, 0, count * width])

    def _ahead(self, count: int) -> ir.Value:
        """Which row of what a node of ``count`` directions gives is each step's, for each direction."""
        if count not in self._aheads:
            scope, source = self.scope, self.source
            shape = scope("Shape", source)
            end = scope("Size", source)
            step = scope("Range", np.asarray(0, "int64"), end, np.asarray(1, "int64"))
            row = scope("Div", source, self.sizes.T)
            width, position = (
                scope("Gather", scope("Squeeze", self._column(index), [1]), row, axis=0)
                for index in (_WIDTH, _POSITION)
            )
            first = scope("Mul", scope("Reshape", step, shape), [count])
            first = scope("Sub", first, scope("Mul", position, [count - 1]))
            apart = scope("Mul", scope("Unsqueeze", width, [2]), list(range(count)))
            self._aheads[count] = scope("Add", scope("Unsqueeze", first, [2]), apart)
        return self._aheads[count]

    def _column(self, index: int) -> ir.Value:
        if index not in self._columns:
            self._columns[index] = self.scope("Gather", self._plan.rows, np.asarray(index), axis=0)
        return self._columns[index]

    def _stride(self, directions: int) -> Operand:
        width = self._column(_WIDTH)
        return width if directions == 1 else self.scope("Mul", width, [directions])

    def _first(self, directions: int) -> Operand:
        begin = self._column(_BEGIN)
        begin = begin if directions == 1 else self.scope("Mul", begin, [directions])
        return self.scope("Add", begin, self._column(_POSITION))

    def _apart(self, directions: int) -> Operand:
        return self.scope("Mul", self.scope("Unsqueeze", self._column(_WIDTH), [2]), list(range(directions)))

    @property
    def _last(self) -> ir.Value:
        return self.scope("Sub", self._column(_STEPS), [1])

    def _from_end(self, step: ir.Value) -> ir.Value:
        return self.scope("Mod", step, self._column(_STEPS))

    @cached_property
    def _plan(self) -> _Plan:
        if isinstance(self.sizes.root.tensor.shape[0], int):
            return _Plan(*self._in_groups(self.scope))
        scope = Scope(self.scope.builder, f"{self.scope.name}/{ROW_GROUPS}")
        results = ((_INT, 2), (_INT, 2), (_INT, 3))
        return _Plan(
            *either(scope, self.sizes.at_least(2 * self.size), self._in_groups, self._together, results)
        )

    def _together(self, scope: Scope) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The plan of one group of all rows."""
        source = scope("Transpose", self._cut(self._front), perm=[1, 0])
        groups = scope("Identity", np.zeros((4, 1), "int64"))
        of_all = scope("Concat", self.sizes.N, scope("Min", self._end, self.sizes.T), [0] * 4, axis=0)
        own = scope(
            "Mul", scope("Unsqueeze", self.sizes.rows, [0]), np.asarray([0, 0, 0, 1, 1, 1])[:, None, None]
        )
        return source, groups, scope("Add", own, scope("Reshape", of_all, [6, 1, 1]))

    def _in_groups(self, scope: Scope) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The plan of groups of `size` rows, or of one where these are not worth while."""
        N = self.sizes.N
        rows = scope("Squeeze", self.sizes.rows, [1])
        longest, order = scope.several("TopK", self._at_least_one, N, wanted=(True, True), axis=0)
        steps = self._steps(scope, longest, [self.size])
        computed = scope("Mul", scope("ReduceSum", steps, keepdims=1), [10 * self.size])
        of_all = scope("Mul", scope("Mul", scope("Slice", steps, [0], [1]), N), [9])
        fewer = scope("Less", computed, of_all)
        size = scope("Where", fewer, [self.size], N)
        order = scope("Where", fewer, order, rows)
        steps = self._steps(scope, longest, size)
        count = scope("Shape", steps)
        widths = scope("Min", size, scope("Sub", N, scope("Mul", self._range(scope, count), size)))
        computed = scope("Mul", steps, widths)
        ends = scope("CumSum", computed, np.asarray(0, "int64"))
        begins = scope("Sub", ends, computed)
        groups = scope("Reshape", scope("Concat", widths, steps, begins, ends, axis=0), [4, -1])
        rank = scope("ScatterElements", order, order, rows, axis=0)
        group = scope("Div", rank, size)
        known = scope("Reshape", scope("Gather", groups, group, axis=1), [-1])
        known = scope("Slice", known, [0], scope("Mul", N, [3]))
        position = scope("Sub", rank, scope("Mul", group, size))
        by_row = scope("Reshape", scope("Concat", known, position, order, rank, axis=0), [6, -1, 1])
        source = self._source_of(scope, order, steps, size, count)
        shape = scope("Where", fewer, [-1, 1], scope("Concat", [-1], N, axis=0))
        return scope("Reshape", source, shape), groups, by_row

    def _steps(self, scope: Scope, longest: ir.Value, size: Operand) -> ir.Value:
        """The steps of each group, of which the first row is the longest, ``(K,)``."""
        first = scope("Slice", longest, [0], [BEHIND_LAST], [0], size)
        return scope("Min", scope("Add", first, [1]), self.sizes.T)

    def _source_of(
        self, scope: Scope, order: ir.Value, steps: ir.Value, size: ir.Value, count: ir.Value
    ) -> ir.Value:
        """Which step each step is, group by group, step by step, row by row, ``(R,)``."""
        total = scope("Mul", count, size)
        missing = scope("Sub", total, self.sizes.N)
        sorted_ = scope("Gather", self._front, order, axis=0)
        sorted_ = scope("Pad", sorted_, scope("Concat", [0, 0], missing, [0], axis=0))
        blocks = scope("Reshape", sorted_, scope("Concat", count, size, [-1], axis=0))
        blocks = scope("Reshape", scope("Transpose", blocks, perm=[0, 2, 1]), [-1])
        time = scope("Unsqueeze", self._time, [1])
        computed = scope("Less", time, scope("Unsqueeze", steps, [1, 2]))
        rows = scope("Reshape", self._range(scope, total), scope("Concat", count, [1], size, axis=0))
        computed = scope("And", computed, scope("Less", rows, self.sizes.N))
        return scope("Compress", blocks, scope("Reshape", computed, [-1]))

    @staticmethod
    def _range(scope: Scope, size: ir.Value) -> ir.Value:
        """``[0, 1, ..., size - 1]``."""
        return scope("Range", np.asarray(0, "int64"), scope("Squeeze", size, [0]), np.asarray(1, "int64"))
