"""A Bidirectional of the standalone Keras, whose directions repeat their output at masked steps.

Since ``tf.keras`` both give zeros there, and so does `ops.Bidirectional`. The older one is what it was made
of: two layers, the backward one's steps turned round, and a merge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from biport import ops
from biport.graph import Node
from biport.ops import Op, Recurrent

MERGES: dict[str, Callable[[], Op]] = {
    "ave": ops.Average,
    "concat": ops.Concatenate,
    "mul": ops.Multiply,
    "sum": ops.Add,
}
"""Each makes an op of its own: one that two nodes share is a layer called twice."""


def repeating(op: ops.Bidirectional) -> tuple[Recurrent, Recurrent]:
    """The two directions, each of which repeats its output at masked steps."""
    forward = dataclasses.replace(op.forward, zero_output_for_mask=False)
    return forward, dataclasses.replace(op.backward, zero_output_for_mask=False)


def side_by_side(
    name: str,
    directions: tuple[Recurrent, Recurrent],
    merge: str | None,
    x: str,
    mask: str,
    states: Sequence[str],
) -> tuple[list[Node], list[str]]:
    """The nodes of such a Bidirectional and the values it gives, in the order of its outputs.

    Args:
        name: of the layer.
        directions: see `repeating`; both give sequences.
        merge: as of `ops.Bidirectional`.
        x: the input, ``(N, T, I)``.
        mask: which of its steps count.
        states: the initial states of the forward direction, then of the backward one; may be empty.
    """
    nodes, sequences, last = [], [], []
    own = len(states) // 2
    for direction, label, initial in (
        (directions[0], "forward_layer", states[:own]),
        (directions[1], "backward_layer", states[own:]),
    ):
        path = f"{name}.{label}"
        count = direction.output_count
        values = (path,) if count == 1 else tuple(f"{path}:{position}" for position in range(count))
        nodes.append(Node(path, direction, (x, *initial), values, (mask, *[None] * len(initial))))
        sequences.append(values[0])
        last += values[1:]
    if directions[1].reverse:
        nodes.append(Node(f"{name}.flip", ops.Flip(), (sequences[1],)))
        sequences[1] = f"{name}.flip"
    if merge is None:
        return nodes, [*sequences, *last]
    nodes.append(Node(name, MERGES[merge](), tuple(sequences)))
    return nodes, [name, *last]
