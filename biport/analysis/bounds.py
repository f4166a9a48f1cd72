"""What the numbers of a value are at least, whatever the inputs: squares, sums of them, weights.

Nothing more is asked of it than whether a root, a logarithm or a quotient is defined. Computed without
rounding, so that what is above 0 by less than a float can tell is taken to be above 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from biport import ops
from biport.graph import Graph, Node
from biport.ops.shaping import Moving

UNKNOWN = -math.inf

FUNCTIONS: Mapping[str, Callable[..., float]] = {
    **dict.fromkeys(("square", "exp", "cosh"), lambda x: 0.0),
    "abs": lambda x: max(x, 0.0),
    "sqrt": lambda x: math.sqrt(max(x, 0.0)),
    **dict.fromkeys(("erf", "sin", "cos", "expm1", "sign"), lambda x: 0.0 if x >= 0 else -1.0),
    "maximum": max,
    "minimum": min,
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y if min(x, y) >= 0 else UNKNOWN,
    **dict.fromkeys(("divide", "pow"), lambda x, y: 0.0 if min(x, y) >= 0 else UNKNOWN),
    **dict.fromkeys(("reciprocal", "rsqrt", "log1p"), lambda x: 0.0 if x >= 0 else UNKNOWN),
}
"""The least that an elementwise function can be, of the least that its inputs can be."""

ACTIVATIONS: Mapping[str, float] = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax", "softplus", "relu", "relu6", "exponential"), 0.0),
    **dict.fromkeys(("tanh", "softsign", "hard_tanh"), -1.0),
}

SUMS = ("sum", "prod")
MEANS = ("mean", "max", "min")
LENGTHS = ("norm", "var", "std")


def least_numbers(graph: Graph) -> dict[str, float]:
    """For each value the number that none of its elements is below; minus infinity where none is known.

    Example:
        >>> from biport.graph import Value
        >>> square = Node("square", ops.Elementwise(function="square"), ("x",))
        >>> root = Node("root", ops.Elementwise(function="log"), ("square",))
        >>> least_numbers(Graph((Value("x", ("N", 4), "float32"),), (square, root), ("root",)))
        {'x': -inf, 'square': 0.0, 'root': -inf}
    """
    least = {value.name: _of_dtype(value.dtype) for value in graph.inputs}
    for node in graph.nodes:
        given = [least[name] for name in node.inputs]
        for name in node.outputs:
            least[name] = max(_least(node, given), _of_dtype(graph.tensors[name].dtype))
    return least


def _of_dtype(dtype: str) -> float:
    return 0.0 if dtype == "bool" else UNKNOWN


def _least(node: Node, given: Sequence[float]) -> float:
    """Of a node's outputs, of the least numbers of its inputs."""
    match node.op:
        case ops.Constant(value=value) | ops.Parameter(value=value):
            return float(value.min()) if value.size else UNKNOWN
        case ops.Full(value=value):
            return value
        case ops.Elementwise(function="multiply") if node.inputs[0] == node.inputs[1]:
            return 0.0
        case ops.Elementwise(function=function) if function in FUNCTIONS:
            return FUNCTIONS[function](*given)
        case ops.Activation(function=function):
            return ACTIVATIONS.get(function, UNKNOWN)
        case ops.Softmax():
            return 0.0
        case ops.Where():
            return min(given[1:])
        case ops.Clip(min=low, max=high):
            return min(max(given[0], UNKNOWN if low is None else low), math.inf if high is None else high)
        case ops.Cast(output_dtype=dtype):
            return math.floor(given[0]) if dtype in ops.INTEGERS and given[0] > UNKNOWN else given[0]
        case ops.Reduction(function=function):
            return _reduced(function, given[0])
        case ops.MatMul() | ops.Einsum() | ops.CumulativeSum():
            return 0.0 if min(given) >= 0 else UNKNOWN
        case ops.Pad(value=value):
            return min(given[0], value)
        case Moving() | ops.Concatenate() | ops.Stack() | ops.Split() | ops.Unstack():
            return min(given)
        case op if op.identity:
            return given[0]
    return UNKNOWN


def _reduced(function: str, x: float) -> float:
    if function in LENGTHS:
        return 0.0
    if function in SUMS:
        # Of nothing a sum is 0.
        return 0.0 if x >= 0 else UNKNOWN
    return x if function in MEANS else UNKNOWN
