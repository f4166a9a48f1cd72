"""Which inputs of an ONNX model are ids, and what bounds them, read off the graph."""

from __future__ import annotations

import onnx_ir as ir

SAME_NUMBERS = (
    "Cast", "Gather", "Identity", "Pad", "Reshape", "ScatterElements", "Slice", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
"""Operators that hand ids on as they are, at other positions; padding with zeros adds none out of bounds."""


def gather_bounds(graph: ir.Graph) -> dict[str, int]:
    """For each integer input that indexes the rows of a table: the number of rows, V."""
    inputs = set(graph.inputs)
    bounds: dict[str, int] = {}
    for node in graph.all_nodes():
        if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
            continue
        table, ids = node.inputs
        rows = _rows(table)
        source = _source(ids)
        # A Gather from a vector reads a shape or a state, not an embedding.
        if rows is not None and source in inputs and source is not None and source.name:
            bounds[source.name] = min(rows, bounds.get(source.name, rows))
    return bounds


def _rows(table: ir.Value | None) -> int | None:
    constant = None if table is None else ir.convenience.get_const_tensor(table)
    if constant is None or len(constant.shape) < 2:
        return None
    rows = constant.shape[0]
    return rows if isinstance(rows, int) else None


def _source(value: ir.Value | None) -> ir.Value | None:
    while value is not None:
        node = value.producer()
        if node is None or node.op_type not in SAME_NUMBERS:
            return value
        value = node.inputs[0]
    return None
