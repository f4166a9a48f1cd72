"""Layers that take their channels first, ``(N, I, T)``, between transpositions: a graph has ``(N, T, I)``."""

from __future__ import annotations

from torch import fx, nn

from torch_side.writing.graph_writer import GraphWriter


def write_transposed(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """``x.transpose(1, 2)``."""
    return writer.method("transpose", x, 1, 2)


def write_features_dropped(writer: GraphWriter, x: fx.Node, rate: float, part: str = "") -> fx.Node:
    """``x``, of which in training a share of the features is zero, the same at every step of a row."""
    dropped = writer.module(lambda _: nn.Dropout1d(rate), write_transposed(writer, x), part=part)
    return write_transposed(writer, dropped)
