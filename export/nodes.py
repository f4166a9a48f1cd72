"""Nodes written one after the other: of a graph, and of the step of a `biport.ops.Scan`."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from biport.graph import Node
from biport.ops import Tensor
from export.onnx.builder import Builder
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.sizes import RuntimeSizes
from export.onnx.step_layouts import StepLayouts
from export.registry import WRITERS


@dataclass(frozen=True)
class NodeWriter:
    """Writes the nodes of one graph into one builder.

    Args:
        builder: where the nodes go.
        tensors: shape and dtype of every value of the graph.
        layouts: the step forms in that builder.
        sizes: of the graph while it runs.
        lowering: see `Site`.
        undefined: the values that may be NaN or infinite.
        owner: in front of the names of nodes inside of another one, ``"cell/"``.
    """

    builder: Builder
    tensors: Mapping[str, Tensor]
    layouts: StepLayouts
    sizes: RuntimeSizes
    lowering: str
    undefined: AbstractSet[str]
    owner: str = ""

    def __call__(self, node: Node, values: Mapping[str, LazyValue]) -> dict[str, LazyValue]:
        """The outputs of ``node`` by name, each written when it is asked for.

        Args:
            values: what the node reads, by name.
        """
        name = f"{self.owner}{node.name}"
        site = Site(
            name=name,
            scope=self.builder.scope(name),
            inputs=[values[name] for name in node.inputs],
            masks=[None if mask is None else values[mask] for mask in node.masks],
            output_tensors=[self.tensors[name] for name in node.outputs],
            layouts=self.layouts,
            sizes=self.sizes,
            lowering=self.lowering,
            may_be_nan=not self.undefined.isdisjoint(node.inputs),
        )
        written = WRITERS.lookup(type(node.op), site.owner)(node.op, site)
        return dict(zip(node.outputs, written, strict=True))
