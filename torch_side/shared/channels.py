"""Layers that take their channels first, ``(N, I, *T)``, while a graph has ``(N, *T, I)``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from torch_side.writing.graph_writer import GraphWriter


def same_in_all(numbers: Sequence[int]) -> int | tuple[int, ...]:
    """A setting of a layer of torch: one number where it is the same along all axes."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def write_features_dropped(writer: GraphWriter, x: fx.Node, rate: float, part: str) -> fx.Node:
    """``(N, T, I)``, in training with a share of the features zero, the same at every step of a row."""
    turned = writer.method("transpose", x, 1, 2)
    dropped = writer.module(lambda _: nn.Dropout1d(rate), turned, part=part)
    return writer.method("transpose", dropped, 1, 2)
