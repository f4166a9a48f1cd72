"""Where a model can come to have NaN or infinite numbers, though its weights and inputs are finite.

A mean over no steps is 0 / 0: of a row of padding alone, or of no steps at all; and so may be a quotient.
Frameworks carry it on; a runtime that clips what it computes makes a number of it that looks like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from biport.analysis.bounds import least_numbers
from biport.graph import Graph, Node, body_of
from biport.ops import FLOATS, Constant, Elementwise, Parameter, Scan

DEFINED: Mapping[str, Callable[..., bool]] = {
    **dict.fromkeys(("log", "log2", "log10", "rsqrt", "reciprocal"), lambda x: x > 0),
    "sqrt": lambda x: x >= 0,
    "log1p": lambda x: x > -1,
    "acosh": lambda x: x >= 1,
    **dict.fromkeys(("divide", "floor_divide", "remainder"), lambda x, y: y > 0),
    "pow": lambda x, y: x > 0 or (x == 0 and y >= 0),
}
"""Whether a function is defined of all numbers that are at least so large."""


def may_be_nan(graph: Graph) -> frozenset[str]:
    """The values that are NaN, or infinite, for some input; overflow aside.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> inputs = Value("x", ("N", 5, 3), "float32"), Value("valid", ("N", 5), "bool")
        >>> mean = Node("mean", ops.GlobalAveragePooling1D(), ("x",), masks=("valid",))
        >>> relu = Node("relu", ops.ReLU(), ("mean",))
        >>> sorted(may_be_nan(Graph(inputs, (mean, relu), ("relu",))))
        ['mean', 'relu']
    """
    reached: set[str] = set()
    least = least_numbers(graph)
    arrays = {
        node.outputs[0]: node.op.value for node in graph.nodes if isinstance(node.op, Constant | Parameter)
    }
    for node in graph.nodes:
        if not reached.isdisjoint(node.inputs) or (
            _makes_nan(graph, node) and not _is_defined(node, least, arrays)
        ):
            reached |= {name for name in node.outputs if graph.tensors[name].dtype in FLOATS}
    return frozenset(reached)


def beside_nan(graph: Graph) -> list[str]:
    """The nodes that read or give what may be NaN.

    Of such a value no range can be taken that 8 bits could be made for.
    """
    reached = may_be_nan(graph)
    return [node.name for node in graph.nodes if not reached.isdisjoint((*node.inputs, *node.outputs))]


def _makes_nan(graph: Graph, node: Node) -> bool:
    masked = bool(node.masks) and node.masks[0] is not None
    return node.op.may_be_nan([graph.tensors[name] for name in node.inputs], masked)


def _is_defined(node: Node, least: Mapping[str, float], arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a function is defined of all that its inputs can be, or a step of all that comes to it."""
    if isinstance(node.op, Scan):
        return may_be_nan(body_of(node.op)).isdisjoint(node.op.results)
    if not isinstance(node.op, Elementwise):
        return False
    function, second = node.op.function, arrays.get(node.inputs[-1])
    if second is not None and function in ("divide", "floor_divide", "remainder"):
        return bool(second.all())
    if second is not None and function == "pow" and bool(((second >= 0) & (second % 1 == 0)).all()):
        return True
    return function in DEFINED and DEFINED[function](*(least[name] for name in node.inputs))
