"""The values of a file, and whether anybody reads them."""

from __future__ import annotations

import onnx_ir as ir


def values_of(model: ir.Model) -> list[ir.Value]:
    """Every value of a file, those in branches and loops as well."""
    values = [value for node in model.graph.all_nodes() for value in node.outputs]
    for graph in model.graphs():
        values += [*graph.inputs, *graph.initializers.values()]
    return values


def is_read(value: ir.Value) -> bool:
    """Whether a value is read, or is one of those that its graph takes and gives."""
    return bool(value.uses()) or value.is_graph_output() or value.is_graph_input()
