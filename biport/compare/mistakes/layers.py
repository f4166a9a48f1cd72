"""Mistakes in how a layer scans, merges and carries: its directions, masks and states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from biport.compare.mistakes.base import Mistake, of_inputs, of_nodes, of_ops, replaced, with_op
from biport.graph import Node, Value
from biport.ops import (
    FLOATS,
    Add,
    Average,
    Bidirectional,
    Concatenate,
    Flip,
    Multiply,
    Op,
    Recurrent,
    Scan,
)


def _apart(
    node: Node, *, forward: dict[str, Any] | None = None, backward: dict[str, Any] | None = None, turned: bool
) -> list[Node]:
    """A `Bidirectional` as its two directions and what merges them: some mistakes it refuses to be.

    Args:
        node: the node.
        forward: settings of the forward direction.
        backward: settings of the backward direction.
        turned: whether the backward direction's sequence is turned back into time order.
    """
    op, (x, *initial) = node.op, node.inputs
    assert isinstance(op, Bidirectional)
    merged = 2 if op.merge is None else 1
    finals = node.outputs[merged:]
    own = node.outputs if op.merge is None else (f"{node.name}_0", f"{node.name}_1")
    count = len(op.forward.state_sizes)
    # The names of a direction, so that what follows of it need not know of the Flip.
    scanned = f"{own[1]}_scanned" if turned else own[1]
    nodes = [
        Node(
            f"{node.name}_forward",
            replaced(op.forward, **(forward or {})),
            (x, *initial[:count]),
            (own[0], *finals[:count]),
            (node.masks[0], *[None] * len(initial[:count])),
        ),
        Node(
            f"{node.name}_backward",
            replaced(op.backward, **(backward or {})),
            (x, *initial[count:]),
            (scanned, *finals[count:]),
            (node.masks[0], *[None] * len(initial[count:])),
        ),
    ]
    if turned:
        nodes.append(Node(f"{node.name}_flip", Flip(), (scanned,), (own[1],)))
    if op.merge is not None:
        merge = {"concat": Concatenate, "sum": Add, "mul": Multiply, "ave": Average}[op.merge]
        nodes.append(Node(node.name, merge(), own, node.outputs[:1]))
    return nodes


def _scanning(
    node: Node, *, forward: bool = True, backward: bool = True, turned: bool | None = None
) -> list[Node]:
    """A `Bidirectional` with a direction that scans the other way, or a sequence left as it was scanned.

    Args:
        node: any node.
        forward: whether the forward direction scans forward.
        backward: whether the backward direction scans backward.
        turned: whether the backward direction's sequence is turned back; as it should be by default.
    """
    op = node.op
    if not isinstance(op, Bidirectional) or (turned is False and not op.backward.return_sequences):
        return [node]
    turned = op.backward.return_sequences if turned is None else turned
    return _apart(node, forward={"reverse": not forward}, backward={"reverse": backward}, turned=turned)


def _turned(node: Node) -> list[Node]:
    op = node.op
    return [with_op(node, replaced(op, reverse=not op.reverse)) if isinstance(op, Recurrent) else node]


def _directions_exchanged(op: Op) -> Op:
    if not isinstance(op, Bidirectional):
        return op
    return replaced(
        op, forward=replaced(op.backward, reverse=False), backward=replaced(op.forward, reverse=True)
    )


def _backward_copied(op: Op) -> Op:
    return replaced(op, backward=replaced(op.forward, reverse=True)) if isinstance(op, Bidirectional) else op


def _without_masks(node: Node) -> list[Node]:
    if all(mask is None for mask in node.masks):
        return [node]
    return [dataclasses.replace(node, masks=())]


def _padded_steps(zeros: bool, sequences: bool, node: Node) -> list[Node]:
    """Zeros at padded steps, or the previous output, where it is the other way round."""
    op = node.op
    if not isinstance(op, Recurrent | Bidirectional) or node.masks[0] is None:
        return [node]
    one = op.forward if isinstance(op, Bidirectional) else op
    if one.return_sequences != sequences or one.zero_output_for_mask == zeros:
        return [node]
    setting = {"zero_output_for_mask": zeros}
    if isinstance(op, Bidirectional):
        return _apart(node, forward=setting, backward=setting, turned=sequences)
    return [with_op(node, replaced(op, **setting))]


def _initial(node: Node) -> slice:
    """Where among the inputs the initial states are."""
    constants = node.op.constant_count if isinstance(node.op, Recurrent) else 0
    return slice(1, len(node.inputs) - constants)


def _without_states(node: Node) -> list[Node]:
    states = _initial(node)
    if not isinstance(node.op, Recurrent | Bidirectional) or not node.inputs[states]:
        return [node]
    inputs, masks = ((*each[:1], *each[states.stop :]) for each in (node.inputs, node.masks))
    return [dataclasses.replace(node, inputs=inputs, masks=masks)]


def _initial_states_turned(node: Node) -> list[Node]:
    """Initial states in the opposite order: h for c, or forward for backward."""
    at = _initial(node)
    states = node.inputs[at]
    if not _one_size(node, states):
        return [node]
    return [dataclasses.replace(node, inputs=(*node.inputs[:1], *reversed(states), *node.inputs[at.stop :]))]


def _final_states_turned(node: Node) -> list[Node]:
    """Final states in the opposite order."""
    op = node.op
    count = len(op.state_sizes) if isinstance(op, Recurrent | Bidirectional) else 0
    head, states = node.outputs[: len(node.outputs) - count], node.outputs[len(node.outputs) - count :]
    if not head or not _one_size(node, states):
        return [node]
    return [dataclasses.replace(node, outputs=(*head, *reversed(states)))]


def _one_size(node: Node, states: Sequence[str]) -> bool:
    op = node.op
    sizes = op.state_sizes if isinstance(op, Recurrent | Bidirectional) else ()
    return len(states) > 1 and len(set(sizes)) == 1


def _merged(before: str, after: str, op: Op) -> Op:
    if not isinstance(op, Bidirectional) or op.merge != before:
        return op
    return replaced(op, merge=after)


def _outputs_exchanged(node: Node) -> list[Node]:
    """Without a merge, backward first."""
    op = node.op
    if not isinstance(op, Bidirectional) or op.merge is not None:
        return [node]
    one, two, *states = node.outputs
    return [dataclasses.replace(node, outputs=(two, one, *states))]


def _is_mask(value: Value) -> bool:
    return value.dtype == "bool"


def _is_sequence(value: Value) -> bool:
    return value.dtype in FLOATS and len(value.shape) == 3


def _right_padded(mask: np.ndarray) -> np.ndarray:
    return np.arange(mask.shape[1]) < mask.sum(axis=1, keepdims=True)


def _transposed(x: np.ndarray) -> np.ndarray:
    """Batch and time exchanged, as far as they are of one size, as a layer without batch_first does."""
    size = min(x.shape[:2])
    square = x.copy()
    square[:size, :size] = x[:size, :size].swapaxes(0, 1)
    return square


def _one_step_later(array: np.ndarray) -> np.ndarray:
    return np.roll(array, 1, axis=1)


def _backward_in_time(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[:, ::-1])


def _direction_mistakes() -> Iterator[Mistake]:
    yield of_nodes("it scans the other way", _turned)
    yield of_ops("its directions are exchanged", _directions_exchanged)
    yield of_ops("its backward direction is a copy of the forward direction", _backward_copied)
    yield of_nodes("its forward direction scans backward", partial(_scanning, forward=False))
    yield of_nodes("its backward direction scans forward", partial(_scanning, backward=False))
    yield of_nodes(
        "its backward direction scans forward and is not turned back",
        partial(_scanning, backward=False, turned=False),
    )
    yield of_nodes("its backward direction is not turned back", partial(_scanning, turned=False))
    yield of_inputs("batch and time are exchanged", _is_sequence, _transposed)
    yield of_inputs("time is moved by one step", _is_sequence, _one_step_later)


def _mask_mistakes() -> Iterator[Mistake]:
    yield of_nodes("its mask is ignored", _without_masks)
    yield of_inputs("its mask is taken for right padding", _is_mask, _right_padded)
    yield of_inputs("its mask is inverted", _is_mask, np.logical_not)
    yield of_inputs("its mask is moved by one step", _is_mask, _one_step_later)
    yield of_inputs("its mask is in the opposite order", _is_mask, _backward_in_time)
    for zeros in (True, False):
        one, two = ("zeros", "the previous output") if zeros else ("the previous output", "zeros")
        yield of_nodes(
            f"it gives {one} at padded steps instead of {two}", partial(_padded_steps, zeros, True)
        )
    yield of_nodes("its last output is zero where its step is padded", partial(_padded_steps, True, False))
    yield of_nodes("its last output is that of the last valid step", partial(_padded_steps, False, False))


def _constants_exchanged(node: Node) -> list[Node]:
    """The constants of a `Scan` in the opposite order."""
    first = _initial(node).stop
    before, constants = node.inputs[:first], node.inputs[first:]
    if len(constants) < 2:
        return [node]
    return [dataclasses.replace(node, inputs=(*before, *reversed(constants)))]


def _states_exchanged(op: Op) -> Op:
    """The states that a step leaves in the opposite order."""
    if not isinstance(op, Scan) or len(set(op.state_sizes)) > 1:
        return op
    return replaced(op, results=(op.results[0], *reversed(op.results[1:])))


def _state_mistakes() -> Iterator[Mistake]:
    yield of_nodes("its initial states are ignored", _without_states)
    yield of_nodes("its initial states are in the opposite order", _initial_states_turned)
    yield of_nodes("its final states are in the opposite order", _final_states_turned)
    yield of_nodes("its constants are in the opposite order", _constants_exchanged)
    yield of_ops("the states after its step are in the opposite order", _states_exchanged)


def _merge_mistakes() -> Iterator[Mistake]:
    for before, after in permutations(("sum", "mul", "ave"), 2):
        yield of_ops(f"it merges by {after!r} instead of {before!r}", partial(_merged, before, after))
    yield of_nodes("its two outputs are exchanged", _outputs_exchanged)


LAYER_MISTAKES = (*_direction_mistakes(), *_mask_mistakes(), *_state_mistakes(), *_merge_mistakes())
