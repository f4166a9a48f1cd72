"""What nodes make of values, one after the other: of a graph, and of the body of a `biport.ops.Scan`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biport.errors import InputError
from biport.graph import Graph, Node
from biport.ops import Op
from biport.reference.registry import REFERENCES


def traced(graph: Graph, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Every value of ``graph``, by name, in the dtype that its ops have.

    Args:
        graph: the model.
        inputs: its inputs by name, in its dtypes.
        sizes: what the letters of its sizes stand for.

    Raises:
        InputError: an op's size is not among them.
    """
    values = dict(inputs)
    for node in graph.nodes:
        values |= computed(node, node.op, values, sizes)
    return values


def computed(
    node: Node, op: Op, values: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """What ``op`` makes of the values that ``node`` reads, by the names of its outputs.

    Raises:
        InputError: a size that is among its settings is not among ``sizes``, or the op is not defined of
            these values.
    """
    owner = f"node {node.name!r}"
    compute, op = REFERENCES.lookup(type(op), owner), op.at(sizes)
    if op.letters:
        raise InputError(f"{owner}: the inputs do not tell what {', '.join(sorted(op.letters))} is")
    masks = [None if mask is None else values[mask] for mask in node.masks]
    with np.errstate(invalid="ignore"):
        # What an operation before it was not defined of is NaN or infinite.
        try:
            outputs = compute(op, [values[name] for name in node.inputs], masks)
        except InputError as error:
            raise InputError(f"{owner} ({op.kind}): {error}") from error
    return dict(zip(node.outputs, outputs, strict=True))
