"""A model's layers and parameters, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from biport.graph import Graph, Node

HEADINGS = ("layer", "was", "output", "parameters", "is", "output", "parameters")


def summary(before: Graph, after: Graph, converted: Sequence[str]) -> list[str]:
    """One line a layer with weights or of another size than before; totals below."""
    counted: set[int] = set()
    rows: list[tuple[str, ...]] = [HEADINGS]
    for old, new in zip(before.nodes, after.nodes, strict=True):
        shared = id(old.op) in counted
        counted.add(id(old.op))
        cells = (*_cells(before, old, shared), *_cells(after, new, shared))
        if old.op.weights() or cells[:3] != cells[3:]:
            rows.append((("* " if old.name in converted else "  ") + old.name, *cells))
    totals = [f"{graph.parameter_count():,}" for graph in (before, after)]
    rows.append(("  all", "", "", totals[0], "", "", totals[1]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(_justified(row, widths)).rstrip() for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:-1], "-" * max(map(len, lines)), lines[-1]]


def _cells(graph: Graph, node: Node, shared: bool) -> tuple[str, str, str]:
    count = 0 if shared else sum(array.size for array in node.op.weights().values())
    parts = [part.kind for name, part in node.op.parts().items() if name == "forward"]
    kind = f"{node.op.kind}({parts[0]})" if parts else node.op.kind
    shape = ", ".join(map(str, graph.tensors[node.outputs[0]].shape))
    return kind, f"({shape})", f"{count:,}"


def _justified(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if heading == "parameters" else cell.ljust(width)
        for cell, width, heading in zip(row, widths, HEADINGS, strict=True)
    ]
