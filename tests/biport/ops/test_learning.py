"""What training does with weights: said of an op, by the paths of its weights, and part of no comparison."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from biport import ops
from biport.errors import GraphError
from biport.graph import Graph, Node, Value, all_learning, frozen, penalties, unported, with_learning
from biport.ops import Learning, Penalty
from biport.rewrite.biases import with_two_biases
from biport.rewrite.bidirectional import bidirect
from biport.rewrite.simplify import simplify
from testing.graphs import bidirectional, lstm, normal

I, H, O = 3, 2, 4
KERNEL = Learning(frozen=frozenset({"bias_ih"}), penalties={"weight_ih": Penalty(0.5), "bias_ih": Penalty(1)})
BACKWARD = Learning(
    frozen=frozenset({"weight_hh"}), activity=Penalty(l2=2), unported=["kernel_constraint: 1"]
)


def both() -> Graph:
    """A Bidirectional called twice, and a Dense, each trained in its own way."""
    rng = np.random.default_rng(0)
    scan = bidirectional(rng, I, H).with_learning({"forward": KERNEL, "backward": BACKWARD})
    head = ops.Dense(
        input_size=2 * H,
        output_size=O,
        weight=normal(rng, O, 2 * H),
        bias=normal(rng, O),
        learning=Learning(penalties={"weight": Penalty(0.1, 0.2)}),
    )
    nodes = (Node("one", scan, ("x",)), Node("two", scan, ("x",)), Node("y", head, ("two",)))
    return Graph((Value("x", ("N", "T", I), "float32"),), nodes, ("one", "y"))


def test_paths_are_those_of_weights() -> None:
    graph = both()
    assert frozen(graph) == {f"one.forward.bias_ih.{gate}" for gate in "ifco"} | {
        f"one.backward.weight_hh.{gate}" for gate in "ifco"
    }
    # A frozen weight adds nothing to the loss.
    of_kernel = {f"one.forward.weight_ih.{gate}": Penalty(l1=0.5) for gate in "ifco"}
    assert penalties(graph) == of_kernel | {"y.weight": Penalty(0.1, 0.2)}
    assert unported(graph) == ["one.backward: kernel_constraint: 1"]


def test_it_is_no_part_of_what_is_computed() -> None:
    graph = both()
    plain = with_learning(graph, {})
    assert all_learning(plain) == {}
    assert plain == graph
    assert plain.digest() == graph.digest()
    assert str(plain) == str(graph)
    assert plain["one"].op is plain["two"].op


def test_it_goes_with_the_weights() -> None:
    graph, said = both(), all_learning(both())
    assert set(said) == {"one", "y"}
    assert set(said["one"]) == {"forward", "backward"}
    assert all_learning(graph.astype("float64")) == said
    assert all_learning(graph.at({"T": 5})) == said
    assert all_learning(with_learning(with_learning(graph, {}), said)) == said


def test_stacked_cells() -> None:
    rng = np.random.default_rng(1)
    stack = ops.StackedRNN(cells=tuple(lstm(rng, H, H) for _ in range(11)))
    said = {"cells.1": Learning(frozen=frozenset({"bias_ih"})), "cells.10": KERNEL}
    assert stack.with_learning(said).all_learning() == said
    assert {path.rpartition(".")[0] for path in stack.with_learning(said).frozen_weights()} == {
        "cells.1.bias_ih",
        "cells.10.bias_ih",
    }


def test_two_biases_put_back() -> None:
    source = lstm(np.random.default_rng(2), I, H, biases=2)
    assert source.bias_ih is not None
    assert source.bias_hh is not None
    added = {gate: source.bias_ih[gate] + source.bias_hh[gate] for gate in "ifco"}
    summed = dataclasses.replace(source, bias_ih=added, bias_hh=None, learning=KERNEL)

    def graph(op: ops.Op) -> Graph:
        return Graph((Value("x", ("N", "T", I), "float32"),), (Node("y", op, ("x",)),), ("y",))

    again = with_two_biases(graph(summed), graph(source))
    assert again == graph(source)
    assert again["y"].op.learning == KERNEL


@pytest.mark.parametrize(("init", "backward"), [("copy", KERNEL.frozen), ("fresh", frozenset())])
def test_a_fresh_direction_is_trained(init: str, backward: frozenset[str]) -> None:
    op = dataclasses.replace(lstm(np.random.default_rng(3), I, H), learning=KERNEL)
    graph = Graph((Value("x", ("N", "T", I), "float32"),), (Node("y", op, ("x",)),), ("y",))
    (node,) = bidirect(graph, init=init).graph.nodes
    assert node.op.all_learning() == {
        "forward": KERNEL,
        "backward": dataclasses.replace(KERNEL, frozen=backward),
    }


@pytest.mark.parametrize(("learning", "nodes"), [(Learning(), 1), (Learning(activity=Penalty(1)), 2)])
def test_outputs_that_add_to_the_loss_stay(learning: Learning, nodes: int) -> None:
    op = dataclasses.replace(lstm(np.random.default_rng(5), I, H, return_sequences=True), learning=learning)
    last = Node("y", ops.Slice(items=((None, None, 1), -1)), ("all",))
    inputs = (Value("x", ("N", 4, I), "float32"),)
    assert len(simplify(Graph(inputs, (Node("all", op, ("x",)), last), ("y",))).nodes) == nodes


def test_a_parameter_that_is_not_trained() -> None:
    value = normal(np.random.default_rng(4), 2, 3)
    assert ops.Parameter(value=value, trainable=False).frozen_weights() == {"value"}
    assert ops.Parameter(value=value).frozen_weights() == frozenset()


@pytest.mark.parametrize("l2", [-1, float("nan"), float("inf"), True, "1"])
def test_no_penalties(l2: Any) -> None:
    with pytest.raises(GraphError, match="number of 0 or more"):
        Penalty(l2=l2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "mapping of mappings"),
        ({"y": []}, "mapping of mappings"),
        ({"z": {"": {}}}, "nodes that have none: .'z'"),
        ({"two": {"": {}}}, "nodes that have none: .'two'"),
        ({"y": {"forward": {}}}, "no part 'forward'"),
        ({"y": {"": {"frozen": ["kernel"]}}}, "no weights .'kernel'"),
        ({"one": {"forward": {"frozen": ["weight_ih.i"]}}}, "no weights .'weight_ih.i'"),
        ({"y": {"": {"frozen": "weight"}}}, "list of names"),
        ({"y": {"": {"penalties": {"weight": {"l3": 1}}}}}, "l1 and l2"),
        ({"y": {"": {"penalties": []}}}, "penalties should be a mapping"),
        ({"y": {"": {"activity": 1}}}, "l1 and l2"),
        ({"y": {"": {"rate": 1}}}, "should be a mapping"),
    ],
)
def test_what_does_not_suit_is_refused(data: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        with_learning(both(), data)
