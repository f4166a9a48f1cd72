"""Where in the graph an op is written: what a writer is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from biport.dims import Dim
from biport.ops import Tensor
from export.onnx.builder import Operand, Scope
from export.onnx.lazy_value import LazyValue, Order, StepForm
from export.onnx.sizes import RuntimeSizes
from export.onnx.step_layouts import StepLayouts


@dataclass(frozen=True)
class Site:
    """Where in the graph an op is written.

    Args:
        name: the node's name.
        scope: writes ONNX nodes under that name.
        inputs: what the node reads.
        masks: for each input its mask, or ``None``.
        output_tensors: shape and dtype of each output.
        layouts: the step forms of the graph, shared by all its nodes.
        sizes: of the graph while it runs, likewise; see `dims` and `size`.
        lowering: what becomes of its recurrent layers, one of `export.recurrent.lowering.LOWERINGS`.
        may_be_nan: whether an input is NaN or infinite for some inputs of the model; see
            `biport.analysis.undefined`.
    """

    name: str
    scope: Scope
    inputs: Sequence[LazyValue]
    masks: Sequence[LazyValue | None]
    output_tensors: Sequence[Tensor]
    layouts: StepLayouts
    sizes: RuntimeSizes
    lowering: str
    may_be_nan: bool = False

    @property
    def owner(self) -> str:
        """How errors call this node."""
        return f"node {self.name!r}"

    def dims(self, dims: Sequence[Dim]) -> Operand:
        """Sizes one after the other, int64 ``(len(dims),)``; a list of numbers where none varies.

        Raises:
            UnsupportedError: no input of the graph tells one.
        """
        return self.sizes.vector(self.owner, dims)

    def size(self, dim: Dim) -> ir.Value:
        """One size, int64 ``()``.

        Raises:
            UnsupportedError: no input of the graph tells it.
        """
        return self.sizes.scalar(self.owner, dim)

    def lazy(
        self,
        write: Callable[[], ir.Value],
        write_steps: Callable[[StepForm], ir.Value | None] | None = None,
        root: LazyValue | None = None,
        output: int = 0,
        order: Order | None = None,
    ) -> LazyValue:
        """One of this node's outputs, written on demand; see `LazyValue`."""
        return LazyValue(self.output_tensors[output], self.scope, write, write_steps, root, order)
