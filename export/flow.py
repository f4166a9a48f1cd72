"""Values on their way through an export: in batch-major form, in step form, or both, on demand.

onnxruntime's recurrent nodes want ``(T, N, I)`` with the valid steps in front; everything else wants
``(N, T, I)``. A `Flow` knows how to make either and writes nodes only for the form somebody asks for, so
two stacked layers hand over step form and an embedding looks its rows up in the order they are walked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from biport.ops import Tensor
from export.builder import Scope

if TYPE_CHECKING:
    from export.layout import Layout, Layouts


class Flow:
    """One value of the graph.

    Args:
        tensor: its shape and dtype, as the graph says.
        make: writes it in batch-major form, as the graph means it.
        steps: writes it in the step form of a layout, ``(T', N', ...)``, or gives ``None`` where going by way
            of the batch-major form is as good. Only valid steps have to be right.
        root: another value that has the same N and T; by default this one is its own.
    """

    def __init__(
        self,
        tensor: Tensor,
        make: Callable[[], ir.Value],
        steps: Callable[[Layout], ir.Value | None] | None = None,
        root: Flow | None = None,
    ) -> None:
        self.tensor = tensor
        self.root: Flow = root.root if root is not None else self
        self._make = make
        self._make_steps = steps
        self._value: ir.Value | None = None
        self._steps: dict[int, tuple[Layout, ir.Value]] = {}

    def value(self) -> ir.Value:
        """The batch-major form."""
        if self._value is None:
            self._value = self._make()
        return self._value

    def steps(self, layout: Layout) -> ir.Value:
        """The step form of ``layout``."""
        if id(layout) not in self._steps:
            made = self._make_steps(layout) if self._make_steps else None
            self._steps[id(layout)] = layout, layout.enter(self) if made is None else made
        return self._steps[id(layout)][1]

    def written(self) -> tuple[ir.Value, Layout | None] | None:
        """What was written of it: the batch-major form, or else a step form and its layout."""
        if self._value is not None:
            return self._value, None
        return next(((value, layout) for layout, value in self._steps.values()), None)


@dataclass(frozen=True)
class Site:
    """Where in the graph an op is written.

    Args:
        name: the node's name.
        scope: writes ONNX nodes under that name.
        inputs: what the node reads.
        masks: for each input its mask, or ``None``.
        made: shape and dtype of each output.
        layouts: the step forms of the graph, shared by all its nodes.
        lowering: what becomes of its recurrent layers, one of `export.lowering.LOWERINGS`.
    """

    name: str
    scope: Scope
    inputs: Sequence[Flow]
    masks: Sequence[Flow | None]
    made: Sequence[Tensor]
    layouts: Layouts
    lowering: str

    @property
    def owner(self) -> str:
        """How errors call this node."""
        return f"node {self.name!r}"

    def flow(
        self,
        make: Callable[[], ir.Value],
        steps: Callable[[Layout], ir.Value | None] | None = None,
        root: Flow | None = None,
        output: int = 0,
    ) -> Flow:
        """A flow for one of this node's outputs."""
        return Flow(self.made[output], make, steps, root)
