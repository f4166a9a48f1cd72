"""Which constants stand as numbers where they are used."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.analysis.scalars import inline_scalars
from biport.graph import Graph, Node, Value


def test_scalars_that_have_the_dtype_of_what_they_meet() -> None:
    number = ops.Constant(value=np.array(0.5, "float32"))
    names = ("plain", "output", "stacked", "chosen", "alone", "other")
    constants = [Node(name, number, ()) for name in names]
    add, where = ops.Elementwise(function="add"), ops.Where()
    nodes = (
        *constants,
        Node("whole", ops.Constant(value=np.array(3)), ()),
        Node("row", ops.Constant(value=np.array([1, 2, 3], "float32")), ()),
        Node("a", add, ("x", "plain")),
        Node("b", add, ("output", "x")),
        Node("c", ops.Stack(), ("stacked",)),
        Node("d", where, ("m", "chosen", "x")),
        # Of two numbers nothing says in which dtype they are.
        Node("e", where, ("m", "alone", "other")),
        Node("f", add, ("i", "whole")),
        Node("g", add, ("x", "row")),
    )
    inputs = Value("x", ("N", 3), "float32"), Value("i", ("N",), "int64"), Value("m", ("N", 3), "bool")
    graph = Graph(inputs, nodes, (*"abcdefg", "output"))
    assert inline_scalars(graph) == {"plain", "chosen", "whole"}
