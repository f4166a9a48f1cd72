"""Tensor operations as statements of a written module, and read back from it."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest
import torch

import torch_side
from biport import ops
from biport.dims import sizes
from biport.graph import Graph, Node, Value
from biport.reference import run
from testing.graphs import lstm
from torch_side.writing.ported import Ported

RNG = np.random.default_rng(12)


def function(name: str) -> ops.Elementwise:
    return ops.Elementwise(function=name)


def operations() -> Graph:
    """A layer, a statement that is used twice, one op of several statements, and two nodes of one op."""
    inputs = Value("x", ("N", "T", 3), "float32"), Value("y", ("N", 1, 4), "float32")
    times = function("multiply")
    nodes = (
        Node("lstm", lstm(RNG, 3, 4, return_sequences=True), ("x",)),
        Node("scaled", times, ("lstm", "y")),
        Node("sign", function("sign"), ("scaled",)),
        Node("square", times, ("sign", "scaled")),
        Node("less", function("less"), ("y", "square")),
        Node("where", ops.Where(), ("less", "square", "lstm")),
        Node("tenth", ops.Constant(value=np.asarray(0.1, "float32")), ()),
        Node("shift", ops.Parameter(value=np.asarray([1, -2, 0.5, 3], "float32")), ()),
        Node("part", function("subtract"), ("tenth", "where")),
        Node("shifted", function("add"), ("part", "shift")),
        Node("rows", ops.ReshapeTo(shape=sizes(("N*T", 4))), ("shifted",)),
        Node("larger", function("maximum"), ("tenth", "rows")),
    )
    return Graph(inputs, nodes, ("where", "square", "larger"))


@pytest.fixture(scope="module")
def module() -> Ported:
    return torch_side.write(operations())


COPIES = {"itself": lambda module: module, "a copy": copy.deepcopy, "pickled": None}


@pytest.mark.parametrize("which", COPIES)
def test_what_was_written_is_read(which: str, module: Ported) -> None:
    make = COPIES[which] or (lambda module: pickle.loads(pickle.dumps(module)))
    again, graph = make(module), operations()
    assert isinstance(again, Ported)
    read = torch_side.read(again)
    assert [(node.name, node.op.settings(), node.inputs) for node in read.nodes] == [
        (node.name, node.op.settings(), node.inputs) for node in graph.nodes
    ]
    assert read == torch_side.read(module)
    assert read["tenth"].op == graph["tenth"].op
    assert read["scaled"].op is read["square"].op
    arrays = [RNG.normal(size=shape).astype("float32") for shape in ((2, 5, 3), (2, 1, 4))]
    for found, right in zip(torch_side.run(again, arrays), run(read.astype("float64"), arrays), strict=True):
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-6)


def test_weights_and_dtype_are_those_of_now(module: Ported) -> None:
    later = copy.deepcopy(module).double()
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.mul_(2)
    graph = torch_side.read(later)
    assert graph.tensors["where"].dtype == "float64"
    before = torch_side.read(module)
    for name, path in {"lstm": "bias_ih.f", "shift": "value"}.items():
        one, two = (read[name].op.weights()[path] for read in (before, graph))
        np.testing.assert_array_equal(two, one.astype("float64") * 2)


def changed(module: Ported, target: object, other: object) -> Ported:
    module = copy.deepcopy(module)
    next(node for node in module.graph.nodes if node.target is target).target = other
    return module


@pytest.mark.parametrize("target, other", [(operator.mul, operator.add), (torch.sign, torch.exp)])
def test_what_was_changed_since_is_read_like_any_other_module(
    target: object, other: object, module: Ported
) -> None:
    later = changed(module, target, other)
    later.recompile()
    graph = torch_side.read(later)
    arrays = [RNG.normal(size=shape).astype("float32") for shape in ((2, 5, 3), (2, 1, 4))]
    before = torch_side.run(module, arrays)
    for one, two, old in zip(torch_side.run(later, arrays), run(graph, arrays), before, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)
        assert np.abs(one - old).max() > 1e-2
    functions = [node.op.function for node in graph.nodes if isinstance(node.op, ops.Elementwise)]
    assert ("exp" if other is torch.exp else "add") in functions


def test_what_is_computed_with_is_that_of_now(module: Ported) -> None:
    swapped = changed(module, operator.lt, operator.lt)
    node = next(node for node in swapped.graph.nodes if node.target is operator.lt)
    node.args = node.args[::-1]
    assert torch_side.read(swapped)["less"].inputs == ("square", "y")
