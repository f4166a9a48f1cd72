"""What is too short for a model, refused by the file itself, whatever runs it.

onnxruntime would pool what is there, give the maximum of nothing, or make something of no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from biport.graph import Value
from biport.inputs import letter_axes
from biport.ops import Dim
from export.onnx.builder import Builder, Scope
from export.onnx.site import Site


def long_enough(site: Site, x: ir.Value, axis: int, steps: Dim, needed: int, rank: int) -> ir.Value:
    """``x`` of ``rank`` dimensions, with ``steps`` along ``axis``; over fewer than ``needed`` the file fails.

    Where the steps are told by a size of one input, that is checked once, see `check_inputs`.
    """
    if isinstance(steps, int) or site.sizes.ensure(steps):
        return x
    return _checked(site.scope, x, rank, {axis: needed})


def check_inputs(
    builder: Builder, values: Sequence[Value], inputs: Mapping[str, ir.Value], least: Mapping[str, int]
) -> None:
    """Let nodes read their inputs by way of a check that these are not too small.

    Between two layers it would keep onnxruntime from computing both in one layout: a convolutional network
    takes up to a sixth longer.

    Args:
        builder: has all nodes.
        values: the inputs of the graph.
        inputs: the same in the file.
        least: by letters of their sizes, how large these have to be.
    """
    letters = letter_axes(values)
    for value in values:
        needed = {letters[name][1]: size for name, size in least.items() if letters[name][0] == value.name}
        if not needed:
            continue
        given = inputs[value.name]
        readers = [(node, at) for node, at in given.uses() if node.op_type != "Shape"]
        before = len(builder.nodes)
        checked = _checked(builder.scope(value.name), given, len(value.shape), needed)
        builder.nodes[:] = [*builder.nodes[before:], *builder.nodes[:before]]
        for node, at in readers:
            node.replace_input_with(at, checked)


def _checked(scope: Scope, x: ir.Value, rank: int, needed: Mapping[int, int]) -> ir.Value:
    """``x``, by axes of as many elements at least, or nothing.

    A ``Reshape`` to the sizes there are costs nothing, and one to a size below -1 every execution provider
    refuses. The sizes are no ``Concat``: onnxruntime 1.31 puts a -1 for a part of one that it does not see
    through.
    """
    shown = "-and-".join(str(size) for size in needed.values())
    scope = Scope(scope.builder, f"{scope.name}/needs-{shown}-or-more")
    sizes = scope("Shape", x)
    missing = scope("Min", scope("Sub", sizes, [needed.get(axis, 0) for axis in range(rank)]), [0])
    below = [needed[axis] + 2 if axis in needed else 0 for axis in range(rank)]
    return scope("Reshape", x, scope("Add", sizes, scope("Mul", missing, below)))
