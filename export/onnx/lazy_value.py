"""Values on their way through an export: in batch-major form, in step form, or both, on demand.

onnxruntime's recurrent nodes want ``(T, N, I)`` with the valid steps in front, and its convolutions want
``(N, I, *T)``; the graph means ``(N, *T, I)``. A `LazyValue` knows how to write each and writes nodes only
for the form somebody asks for, so two stacked layers hand over step form, an embedding looks its rows up in
the order of the recurrence, and between convolutions features stay in front of all axes but the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import onnx_ir as ir

from biport.ops import Tensor
from export.onnx.builder import Scope

Order = tuple[int, ...]
"""Which axis of a value, as the graph has it, each axis of a form is."""


class StepForm(Protocol):
    """What a value has to know of its layout in step form, which is a `StepLayout`."""

    @property
    def mask(self) -> LazyValue | None:
        """The ``(N, T)`` mask, or ``None``."""
        ...

    def enter(self, value: LazyValue) -> ir.Value:
        """Write the step form of ``value`` by way of its batch-major form."""
        ...


class LazyValue:
    """One value of the graph.

    Args:
        tensor: its shape and dtype, as the graph says.
        scope: writes the transpositions that other orders of its axes take.
        write: writes it with its axes in ``order``.
        write_steps: writes it in the step form of a layout, ``(T', N', ...)``, or ``None`` where going by
            way of the batch-major form is as good. Only valid steps have to be right.
        root: another value that has the same N and T; by default this one is its own.
        order: in which it is written most easily; by default as the graph has it, in batch-major form.
    """

    def __init__(
        self,
        tensor: Tensor,
        scope: Scope,
        write: Callable[[], ir.Value],
        write_steps: Callable[[StepForm], ir.Value | None] | None = None,
        root: LazyValue | None = None,
        order: Order | None = None,
    ) -> None:
        self.tensor = tensor
        self.root: LazyValue = root.root if root is not None else self
        self.batch_major: Order = tuple(range(len(tensor.shape)))
        """The order of the graph."""
        self.order = self.batch_major if order is None else order
        """The order in which it is written; in others it is transposed."""
        self.rows: LazyValue | None = None
        """Of ``(N, T, ...)`` the same as rows ``(N·T, ...)``, where it is computed so."""
        self._scope = scope
        self._write = write
        self._write_steps = write_steps
        self._forms: dict[Order, ir.Value] = {}
        self._wanted: set[Order] = set()
        self._steps: dict[int, tuple[StepForm, ir.Value]] = {}

    def value(self) -> ir.Value:
        """The batch-major form."""
        return self.ordered(self.batch_major)

    def ordered(self, order: Order) -> ir.Value:
        """The form with its axes in ``order``."""
        if self.order not in self._forms:
            self._forms[self.order] = self._write()
        if order not in self._forms:
            perm = [self.order.index(axis) for axis in order]
            self._forms[order] = self._scope("Transpose", self._forms[self.order], perm=perm)
        return self._forms[order]

    def want(self, order: Order) -> None:
        """Say beforehand that somebody will ask for an order."""
        self._wanted.add(order)

    def has(self, order: Order) -> bool:
        """Whether an order costs nothing, or nothing more than it will cost anyhow."""
        return order == self.order or order in self._wanted

    def steps(self, layout: StepForm) -> ir.Value:
        """The step form of ``layout``."""
        if id(layout) not in self._steps:
            value = self._write_steps(layout) if self._write_steps else None
            self._steps[id(layout)] = layout, layout.enter(self) if value is None else value
        return self._steps[id(layout)][1]

    def written(self) -> tuple[ir.Value, Order, StepForm | None] | None:
        """What was written of it, and the order of its axes; or else a step form and its layout."""
        for order in (self.batch_major, *self._forms):
            if order in self._forms:
                return self._forms[order], order, None
        steps = ((value, self.batch_major, layout) for layout, value in self._steps.values())
        return next(steps, None)
