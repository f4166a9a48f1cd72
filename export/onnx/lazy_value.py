"""Values on their way through an export: in batch-major form, in step form, or both, on demand.

onnxruntime's recurrent nodes want ``(T, N, I)`` with the valid steps in front; everything else wants
``(N, T, I)``. A `LazyValue` knows how to write either and writes nodes only for the form somebody asks for,
so two stacked layers hand over step form and an embedding looks its rows up in the order of the recurrence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import onnx_ir as ir

from biport.ops import Tensor


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
        write: writes it in batch-major form, as the graph means it.
        write_steps: writes it in the step form of a layout, ``(T', N', ...)``, or ``None`` where going by
            way of the batch-major form is as good. Only valid steps have to be right.
        root: another value that has the same N and T; by default this one is its own.
    """

    def __init__(
        self,
        tensor: Tensor,
        write: Callable[[], ir.Value],
        write_steps: Callable[[StepForm], ir.Value | None] | None = None,
        root: LazyValue | None = None,
    ) -> None:
        self.tensor = tensor
        self.root: LazyValue = root.root if root is not None else self
        self._write = write
        self._write_steps = write_steps
        self._value: ir.Value | None = None
        self._steps: dict[int, tuple[StepForm, ir.Value]] = {}

    def value(self) -> ir.Value:
        """The batch-major form."""
        if self._value is None:
            self._value = self._write()
        return self._value

    def steps(self, layout: StepForm) -> ir.Value:
        """The step form of ``layout``."""
        if id(layout) not in self._steps:
            value = self._write_steps(layout) if self._write_steps else None
            self._steps[id(layout)] = layout, layout.enter(self) if value is None else value
        return self._steps[id(layout)][1]

    def written(self) -> tuple[ir.Value, StepForm | None] | None:
        """What was written of it: the batch-major form, or else a step form and its layout."""
        if self._value is not None:
            return self._value, None
        return next(((value, layout) for layout, value in self._steps.values()), None)
