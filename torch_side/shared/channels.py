"""Layers that take their channels first, ``(N, I, T)``, between transpositions: a graph has ``(N, T, I)``."""

from __future__ import annotations

from torch import fx

from torch_side.writing.graph_writer import GraphWriter


def write_transposed(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """``x.transpose(1, 2)``."""
    return writer.method("transpose", x, 1, 2)
