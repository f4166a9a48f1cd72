"""Rules of convolutions that are over fewer axes than it seems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport import ops
from biport.graph import Node
from biport.ops.windows import axis_padding
from biport.rewrite.simplify.traversal import Rule, Traversal, outputs_count


def as_wide_as_the_input(simplifier: Traversal, node: Node) -> Node | None:
    """A kernel over steps and all features of a sequence with a new axis is a convolution over the steps."""
    new = simplifier.producer(node.inputs[0], ops.ExpandDims) if isinstance(node.op, ops.Conv2D) else None
    if new is None or not simplifier.owned(node) or outputs_count(node.op):
        return None
    assert isinstance(node.op, ops.Conv2D)
    assert isinstance(new.op, ops.ExpandDims)
    op, width = node.op, simplifier.tensors[node.inputs[0]].shape[2]
    along, across = (axis_padding(op.padding, axis) for axis in (0, 1))
    whole = width == op.kernel_size[1] and across in ("valid", (0, 0))
    if [axis % 4 for axis in new.op.axes] != [3] or not whole or op.groups != 1:
        return None
    # (O, 1, K, W), of features in the order they have.
    weight = np.ascontiguousarray(op.weight[:, 0].swapaxes(1, 2))
    line = ops.Conv1D(
        input_size=op.kernel_size[1],
        output_size=op.output_size,
        kernel_size=op.kernel_size[:1],
        strides=op.strides[:1],
        padding=along if isinstance(along, str) else (along,),
        dilation=op.dilation[:1],
        activation=op.activation,
        weight=weight,
        bias=op.bias,
        learning=op.learning,
    )
    value = simplifier.fresh(f"{node.outputs[0]}.steps")
    simplifier.add(Node(node.name, line, new.inputs, (value,)))
    name = simplifier.fresh(f"{node.name}.expand_dims")
    return Node(name, ops.ExpandDims(axes=(2,)), (value,), node.outputs)


RULES: Sequence[Rule] = (as_wide_as_the_input,)
