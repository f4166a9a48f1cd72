"""A Bidirectional of the standalone Keras, whose halves repeat their output at masked steps.

Since ``tf.keras`` both give zeros there, and so does `ops.Bidirectional`. The older one is what it was made
of: two layers, the backward one's steps turned round, and a merge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from biport import ops
from biport.graph import Node
from biport.ops import Op, Recurrent

MERGES: dict[str, Op] = {
    "ave": ops.Average(),
    "concat": ops.Concatenate(axis=-1),
    "mul": ops.Multiply(),
    "sum": ops.Add(),
}


def repeating(op: ops.Bidirectional) -> tuple[Recurrent, Recurrent]:
    """The two halves, each of which repeats its output at masked steps."""
    one, two = (dataclasses.replace(half, zero_output_for_mask=False) for half in (op.forward, op.backward))
    return one, two


def side_by_side(
    name: str,
    halves: tuple[Recurrent, Recurrent],
    merge: str | None,
    x: str,
    mask: str,
    states: Sequence[str],
) -> tuple[list[Node], list[str]]:
    """The nodes of such a Bidirectional and the values it gives, in the order of its outputs.

    Args:
        name: of the layer.
        halves: see `repeating`; both give sequences.
        merge: as of `ops.Bidirectional`.
        x: the input, ``(N, T, I)``.
        mask: which of its steps count.
        states: the initial states of the forward half, then of the backward half; may be empty.
    """
    nodes, sequences, last = [], [], []
    own = len(states) // 2
    for half, label, initial in (
        (halves[0], "forward_layer", states[:own]),
        (halves[1], "backward_layer", states[own:]),
    ):
        place = f"{name}.{label}"
        count = half.output_count
        values = (place,) if count == 1 else tuple(f"{place}:{position}" for position in range(count))
        nodes.append(Node(place, half, (x, *initial), values, (mask, *[None] * len(initial))))
        sequences.append(values[0])
        last += values[1:]
    if halves[1].reverse:
        nodes.append(Node(f"{name}.flip", ops.Flip(), (sequences[1],)))
        sequences[1] = f"{name}.flip"
    if merge is None:
        return nodes, [*sequences, *last]
    nodes.append(Node(name, MERGES[merge], tuple(sequences)))
    return nodes, [name, *last]
