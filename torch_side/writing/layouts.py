"""Which layouts of the values of a graph those want that compute with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from biport.graph import Graph, Node
from torch_side.layout import Layout, permuted_axes
from torch_side.registry import Channels, axes_taken


def wanted_layouts(graph: Graph) -> Mapping[str, Layout]:
    """For each value a layout that is asked for, the graph's own only if no other is."""
    wanted: dict[str, Layout] = {}
    for node in reversed(graph.nodes):
        for name, layout in _wanted_by(graph, node, wanted):
            if name not in wanted or wanted[name].is_graph:
                wanted[name] = layout
    plain = {name: Layout.graph(len(tensor.shape)) for name, tensor in graph.tensors.items()}
    return plain | wanted


def _wanted_by(graph: Graph, node: Node, wanted: Mapping[str, Layout]) -> Iterator[tuple[str, Layout]]:
    """What a node asks for of its inputs, as far as it does."""
    tensors = [graph.tensors[name] for name in node.inputs]
    if not tensors:
        return
    behind = wanted.get(node.outputs[0])
    if (moved := permuted_axes(node.op)) is not None:
        layout = None if behind is None else behind.before(moved)
        if layout is not None:
            yield node.inputs[0], layout
        return
    axes = axes_taken(node.op, tensors)
    for name, tensor in zip(node.inputs, tensors, strict=True):
        rank = len(tensor.shape)
        if axes.channels is Channels.FIRST:
            yield name, Layout.channels_first(rank, axes.rows or 1)
        elif axes.channels is Channels.LAST or any(node.masks):
            yield name, Layout.graph(rank, axes.rows or 1)
        elif behind is not None and len(behind.order) == rank and axes.rows in (None, behind.rows):
            yield name, behind
