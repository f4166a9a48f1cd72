"""Where NaN and infinite numbers can come from, and what keeps them away."""

from __future__ import annotations

import numpy as np
import pytest

from biport import ops
from biport.analysis.bounds import least_numbers
from biport.analysis.undefined import may_be_nan
from biport.graph import Graph, Node, Value
from biport.ops.elementwise import FUNCTIONS, PARTIAL
from biport.reference import trace
from biport.reference.elementwise import FUNCTIONS as COMPUTED

X, Y = Value("x", ("N", 3), "float32"), Value("y", ("N", 3), "float32")


def function(name: str, *inputs: str, called: str = "out") -> Node:
    return Node(called, ops.Elementwise(function=name), inputs or ("x",))


def constant(*numbers: float, called: str = "c") -> Node:
    return Node(called, ops.Constant(value=np.asarray(numbers, "float32")), ())


def sums(name: str, *, of: str = "x", called: str = "sum") -> Node:
    return Node(called, ops.Reduction(function=name, axes=(1,), keepdims=True), (of,))


def activation(name: str, called: str) -> Node:
    return Node(called, ops.Activation(function=name), ("x",))


DEFINED = {
    "a number": (constant(-2), function("divide", "x", "c")),
    "a square": (constant(2), function("pow", "x", "c")),
    "a logistic": (
        function("negative", called="a"),
        function("exp", "a", called="b"),
        constant(1),
        function("add", "c", "b", called="d"),
        function("reciprocal", "d"),
    ),
    "a normalisation": (
        sums("mean"),
        function("subtract", "x", "sum", called="centred"),
        function("multiply", "centred", "centred", called="squares"),
        sums("mean", of="squares", called="variance"),
        constant(1e-6),
        function("add", "variance", "c", called="enough"),
        function("sqrt", "enough", called="root"),
        function("divide", "centred", "root"),
    ),
    "a deviation": (sums("var"), function("sqrt", "sum")),
    "clipped": (Node("a", ops.Clip(min=0.5, max=2), ("x",)), function("log", "a")),
    "weights": (
        activation("softmax", "a"),
        constant(1e-3),
        function("maximum", "a", "c", called="b"),
        function("log", "b"),
    ),
    "from -1 on": (activation("relu", "a"), function("log1p", "a")),
    "a count": (
        function("isfinite", called="a"),
        Node("b", ops.Cast(output_dtype="float32"), ("a",)),
        sums("sum", of="b"),
        constant(1),
        function("maximum", "sum", "c", called="d"),
        function("divide", "x", "d"),
    ),
}
UNDEFINED = {
    "a quotient": (function("divide", "x", "y"),),
    "by a number that is 0": (constant(1, 0, 2), function("divide", "x", "c")),
    "a root": (function("sqrt"),),
    "a negative power": (constant(-1), function("pow", "x", "c")),
    "a root as a power": (constant(0.5), function("pow", "x", "c")),
    "a logarithm of a square": (function("square", called="a"), function("log", "a")),
    "by a sum": (activation("relu", "a"), sums("sum", of="a"), function("divide", "x", "sum")),
    "clipped from above": (Node("a", ops.Clip(max=2), ("x",)), function("log", "a")),
    "an infinite mask": (
        constant(-np.inf),
        function("less", "x", "y", called="a"),
        Node("b", ops.Where(), ("a", "x", "c")),
        Node("out", ops.Softmax(), ("b",)),
    ),
    "a mean of them": (
        function("log", called="a"),
        Node("out", ops.Reduction(function="mean", axes=(1,)), ("a",)),
    ),
}


def graph_of(nodes: tuple[Node, ...]) -> Graph:
    return Graph((X, Y), nodes, ("out",))


@pytest.mark.parametrize("name", DEFINED)
def test_defined(name: str) -> None:
    graph = graph_of(DEFINED[name])
    assert may_be_nan(graph) == frozenset()
    x = np.asarray([[0, 0, 0], [1e4, -1e4, 3], [-2, -2, -2]], "float32")
    values = trace(graph, [x, x[::-1]])
    assert np.isfinite(values["out"]).all()
    for value, least in least_numbers(graph).items():
        assert (values[value] >= least).all(), value


@pytest.mark.parametrize("name", UNDEFINED)
def test_undefined(name: str) -> None:
    graph = graph_of(UNDEFINED[name])
    assert "out" in may_be_nan(graph)
    x = np.asarray([[0, 0, 0], [-1, -2, -3], [1, 2, 3]], "float32")
    assert not all(np.isfinite(run).all() for run in trace(graph, [x, x * 0]).values())


def test_the_functions_that_are_not_defined_everywhere() -> None:
    """And no others: of finite numbers every other one is finite."""
    numbers = np.asarray([0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3.5, -7], "float64")
    for name, signature in FUNCTIONS.items():
        if "float64" in signature.dtypes:
            inputs = [numbers, numbers[:, None]][: signature.inputs]
            with np.errstate(all="ignore"):
                assert np.isfinite(COMPUTED[name](*inputs)).all() == (name not in PARTIAL), name
