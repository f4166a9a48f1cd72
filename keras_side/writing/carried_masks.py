"""The masks that Keras hangs on tensors by itself, where a layer cannot be told others."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from biport.errors import UnsupportedError
from biport.graph import Graph
from biport.ops import LogicalAnd, LogicalOr, MultiHeadAttention, OnesLike
from biport.ops.base import EVERY_INPUT
from keras_side.read import read

if TYPE_CHECKING:
    import keras


def check_carried_masks(graph: Graph, model: keras.Model) -> None:
    """Refuse where a layer that cannot be told its masks would see others than the graph's.

    Such layers are the merges whose result depends on the masks that hang on their inputs, and those with
    many heads, whose queries' mask is the one that hangs on them.

    Raises:
        UnsupportedError: there is such a layer.
    """
    merges = [
        node
        for node in graph.nodes
        if node.op.masked is EVERY_INPUT or isinstance(node.op, MultiHeadAttention)
    ]
    if not merges:
        return
    again = read(model)
    calls: Counter[int] = Counter()
    first: dict[int, str] = {}
    needed = _needed(graph)
    for node in merges:
        name = first.setdefault(id(node.op), node.name)
        if needed.isdisjoint(node.outputs):
            # Keras leaves the call out, and numbers those that are left.
            continue
        index = calls[id(node.op)]
        calls[id(node.op)] += 1
        twin = again[f"{name}@{index}" if index else name]
        if not any((*node.masks, *twin.masks)):
            continue
        for position, (wanted, carried) in enumerate(zip(node.masks, twin.masks, strict=True)):
            if _mask_formula(graph, wanted) != _mask_formula(again, carried):
                raise UnsupportedError(
                    f"node {node.name!r} ({node.op.kind})",
                    "mask",
                    f"{wanted} for input {position}",
                    "the masks that Keras hangs on its inputs",
                )


def _needed(graph: Graph) -> set[str]:
    """The values that the outputs depend on."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs, (mask for mask in node.masks if mask is not None))
    return needed


def _mask_formula(graph: Graph, name: str | None) -> Any:
    """A mask as nested tuples in which no name occurs but those of the model's inputs."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    if name is None or name not in makers:
        return name
    node = makers[name]
    parts = [] if isinstance(node.op, OnesLike) else [_mask_formula(graph, part) for part in node.inputs]
    if isinstance(node.op, LogicalAnd | LogicalOr):
        # Keras joins masks two at a time; joined is joined.
        flat = [item for part in parts for item in (part[1] if part[0] == node.op.kind else [part])]
        return node.op.kind, tuple(sorted(set(flat), key=repr))
    return node.op.kind, repr(node.op), tuple(parts)
