"""Rules of both directions of a recurrent layer: taken apart, added up, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from biport import ops
from biport.graph import Node
from biport.rewrite.simplify.traversal import Rule, Traversal, outputs_count

MERGES: Mapping[str, str] = {"add": "sum", "multiply": "mul", "Add": "sum", "Multiply": "mul"}
"""What an operation on both directions, by its function or its kind, is called where the layer does it."""


def merged_states(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """The final states ``h`` of both directions in one are what the layer gives but for sequences."""
    layer = simplifier.producer(node.inputs[0], ops.Bidirectional) if len(node.inputs) == 2 else None
    mode = _mode(simplifier, node)
    if node.name in simplifier.kept:
        return None
    if layer is None or mode is None or len(layer.inputs) > 1 or not simplifier.owned(layer):
        return None
    op = layer.op
    assert isinstance(op, ops.Bidirectional)
    if (
        outputs_count(op)
        or not op.forward.return_state
        or not all(isinstance(d, ops.Cell) for d in (op.forward, op.backward))
    ):
        return None
    sequences = 2 if op.merge is None else 1
    states = layer.outputs[sequences:]
    both = states[0], states[len(op.forward.state_sizes)]
    if node.inputs != both:
        return None
    if op.merge == mode and not op.forward.return_sequences:
        return layer.outputs[:1]
    if any(map(simplifier.used, layer.outputs[:sequences])):
        return None
    settings = {"return_sequences": False, "zero_output_for_mask": False}
    more = any(simplifier.used(state) > (state in both) for state in states)
    one, two = (
        dataclasses.replace(direction, return_state=more, **settings)
        for direction in (op.forward, op.backward)
    )
    merged = ops.Bidirectional(forward=one, backward=two, merge=mode)
    simplifier.replace(layer, merged, (node.outputs[0], *(states if more else ())))
    return node.outputs


def _mode(simplifier: Traversal, node: Node) -> str | None:
    """The merge that an operation is to both directions."""
    if isinstance(node.op, ops.Concatenate):
        rank = len(simplifier.tensors[node.outputs[0]].shape)
        return "concat" if node.op.axis % rank == rank - 1 else None
    return _sum_or_product(node)


def _sum_or_product(node: Node) -> str | None:
    """The merge that an operation of two values is, where no masks have a say in it."""
    if any(node.masks):
        return None
    return MERGES.get(node.op.function if isinstance(node.op, ops.Elementwise) else node.op.kind)


def split_directions(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """Both directions side by side, taken apart, were never joined."""
    layer = simplifier.producer(node.inputs[0], ops.Bidirectional) if isinstance(node.op, ops.Split) else None
    if layer is None or node.inputs[0] != layer.outputs[0] or not _only_use(simplifier, layer, 1):
        return None
    op = layer.op
    assert isinstance(op, ops.Bidirectional)
    assert isinstance(node.op, ops.Split)
    rank = len(simplifier.tensors[layer.outputs[0]].shape)
    sizes = op.forward.sizes[1], op.backward.sizes[1]
    if op.merge != "concat" or node.op.axis % rank != rank - 1 or node.op.sizes != sizes:
        return None
    simplifier.replace(layer, dataclasses.replace(op, merge=None), (*node.outputs, *layer.outputs[1:]))
    return node.outputs


def merged_outputs(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """Both directions added up or multiplied."""
    layer = simplifier.producer(node.inputs[0], ops.Bidirectional) if len(node.inputs) == 2 else None
    mode = _sum_or_product(node)
    if layer is None or mode is None or node.name in simplifier.kept or not _only_use(simplifier, layer, 2):
        return None
    op = layer.op
    assert isinstance(op, ops.Bidirectional)
    alike = op.forward.sizes == op.backward.sizes
    if op.merge is not None or not alike or {*node.inputs} != {*layer.outputs[:2]}:
        return None
    merged = dataclasses.replace(op, merge=mode)
    simplifier.replace(layer, merged, (node.outputs[0], *layer.outputs[2:]))
    return node.outputs


def mean_of_directions(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """The sum of both directions, divided by 2."""
    if not isinstance(node.op, ops.Elementwise) or node.op.function != "divide":
        return None
    layer, count = simplifier.producer(node.inputs[0], ops.Bidirectional), simplifier.constant(node.inputs[1])
    if layer is None or count is None or count.size != 1 or count.item() != 2:
        return None
    op = layer.op
    assert isinstance(op, ops.Bidirectional)
    if op.merge != "sum" or node.inputs[0] != layer.outputs[0] or not _only_use(simplifier, layer, 1):
        return None
    simplifier.replace(layer, dataclasses.replace(op, merge="ave"), (node.outputs[0], *layer.outputs[1:]))
    return node.outputs


def _only_use(simplifier: Traversal, layer: Node, outputs: int) -> bool:
    """Whether the first outputs of a layer are used once each, and its op by no other, in training too."""
    alone = simplifier.owned(layer) and not outputs_count(layer.op)
    return alone and all(simplifier.used(name) == 1 for name in layer.outputs[:outputs])


RULES: Sequence[Rule] = (merged_states, split_directions, merged_outputs, mean_of_directions)
