"""Every rule on a model it applies to, on one it must leave alone, and all of them on numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.dims import sizes
from biport.graph import Graph, Node, Value
from biport.rewrite.simplify import simplify
from testing.graphs import bidirectional, cell, normal

X = Value("x", ("N", "T", 4), "float32")
MASK = Value("mask", ("N", "T"), "bool")
LAST = ops.Slice(items=((None, None, 1), -1))
TANH = ops.Activation(function="tanh")


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def lstm(**settings: Any) -> ops.Cell:
    return cell(rng(), ops.LSTM, 4, 3, **{"return_sequences": True, **settings})


def both(merge: str | None = None, backward_size: int = 2, **settings: Any) -> ops.Bidirectional:
    sequences = settings.pop("return_sequences", True)
    rules: dict[str, Any] = {
        "return_sequences": sequences,
        "zero_output_for_mask": sequences,
        "return_state": True,
    }
    forward = cell(rng(), ops.LSTM, 4, 3, **rules)
    return ops.Bidirectional(
        forward=forward,
        backward=cell(rng(), ops.LSTM, 4, backward_size, **rules, reverse=True),
        merge=merge,
    )


def alike(merge: str | None, *nodes: Node, outputs: Sequence[str] = ("y",)) -> Graph:
    """Two directions of one size under a mask, and what becomes of them."""
    layer = Node("lstm", both(merge, backward_size=3), ("x",), states(merge), masks=("mask",))
    return graph(layer, *nodes, outputs=outputs)


def apart(*sizes: int) -> Node:
    """The sequences of both directions, taken apart."""
    return Node("apart", ops.Split(sizes=sizes, axis=-1), ("both",), ("one", "two"))


def started(merge: str | None, *nodes: Node) -> Graph:
    """Two directions that begin with states given to them."""
    start = [
        Node(f"start_{size}", ops.Slice(items=((None, None, 1), 0, (None, size, 1))), ("x",))
        for size in (3, 2)
    ]
    inputs = ("x", "start_3", "start_3", "start_2", "start_2")
    return graph(*start, Node("lstm", both(merge), inputs, states(merge)), *nodes)


def graph(*nodes: Node, outputs: Sequence[str] = ("y",), inputs: Sequence[Value] = (X, MASK)) -> Graph:
    return Graph(tuple(inputs), nodes, tuple(outputs))


def states(merge: str | None) -> tuple[str, ...]:
    sequences = ("forwards", "backwards") if merge is None else ("both",)
    return (*sequences, "h", "c", "h_back", "c_back")


def constant(*numbers: float) -> ops.Constant:
    return ops.Constant(value=np.array(numbers, "float32"))


def parameter(*shape: int) -> ops.Parameter:
    return ops.Parameter(value=normal(rng(), *shape))


def add() -> ops.Elementwise:
    return ops.Elementwise(function="add")


def rows(*nodes: Node, outputs: Sequence[str] = ("y",), trainable: bool = True) -> Graph:
    """A matrix w, and the steps of x as rows."""
    w = ops.Parameter(value=normal(rng(), 4, 3), trainable=trainable)
    steps = Node("rows", ops.ReshapeTo(shape=sizes(("N*T", 4))), ("x",))
    return graph(Node("w", w, ()), steps, *nodes, outputs=outputs)


TURN = ops.PermuteDims(axes=(0, 2, 1))
GRU: dict[str, Any] = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}


def states_of_gru() -> Node:
    """A layer of two directions, whose final states are h and h_back, ``(N, 3)`` each."""
    forward = cell(rng(), ops.GRU, 4, 3, biases=2, **GRU)
    op = ops.Bidirectional(
        forward=forward, backward=cell(rng(), ops.GRU, 4, 3, biases=2, **GRU, reverse=True)
    )
    return Node("gru", op, ("x",), ("both", "h", "h_back"))


def normalization(axis: int = 1) -> ops.BatchNormalization:
    draw = rng()
    variance = np.abs(normal(draw, 4))
    return ops.BatchNormalization(
        size=4, axis=axis, mean=normal(draw, 4), variance=variance, weight=normal(draw, 4), bias=None
    )


def stacked(*nodes: Node, y: str) -> Graph:
    """Of the states h and h_back of a layer, stacked along the first axis, as torch gives them."""
    return graph(states_of_gru(), Node("stack", ops.Stack(axis=0), ("h", "h_back")), *nodes, outputs=(y,))


STACKS: dict[str, tuple[Graph, list[str]]] = {
    "a slice of a stack": (
        graph(
            Node("a", TANH, ("x",)),
            Node("stack", ops.Stack(axis=1), ("x", "a", "x")),
            Node("part", ops.Slice(items=((None, None, 1), (1, None, 1))), ("stack",)),
            Node("y", ops.Reduction(function="max", axes=(3,)), ("part",)),
        ),
        ["Activation", "Stack", "Reduction"],
    ),
    "a stack of one that is squeezed": (
        graph(
            Node("stack", ops.Stack(axis=0), ("x",)),
            Node("lost", ops.Squeeze(axes=(0,)), ("stack",)),
            Node("y", TANH, ("lost",)),
        ),
        ["Activation"],
    ),
    "the last of a stack of one": (
        graph(
            Node("stack", ops.Stack(axis=0), ("x",)),
            Node("lost", ops.Slice(items=(-1,)), ("stack",)),
            Node("y", TANH, ("lost",)),
        ),
        ["Activation"],
    ),
    "states side by side by a permutation and a reshape": (
        stacked(
            Node("turned", ops.PermuteDims(axes=(1, 0, 2)), ("stack",)),
            Node("joined", ops.ReshapeTo(shape=sizes(("N", 6))), ("turned",)),
            Node("y", TANH, ("joined",)),
            y="y",
        ),
        ["Bidirectional", "Activation"],
    ),
    "states of a layer and a direction": (
        stacked(
            Node("view", ops.ReshapeTo(shape=sizes((1, 2, "N", 3))), ("stack",)),
            Node("layer", ops.Slice(items=(-1,)), ("view",)),
            Node("one", ops.Slice(items=(0,)), ("layer",)),
            Node("two", ops.Slice(items=(1,)), ("layer",)),
            Node("y", ops.Concatenate(axis=-1), ("one", "two")),
            y="y",
        ),
        ["Bidirectional"],
    ),
    "a stack that is taken apart": (
        stacked(
            Node("apart", ops.Unstack(count=2, axis=0), ("stack",), ("one", "two")),
            Node("y", ops.Elementwise(function="subtract"), ("two", "one")),
            y="y",
        ),
        ["Bidirectional", "Elementwise"],
    ),
    "the same again": (
        graph(
            Node("a", ops.Flip(axes=(1,)), ("x",)),
            Node("b", ops.Flip(axes=(1,)), ("x",)),
            Node("y", add(), ("a", "b")),
        ),
        ["Flip", "Elementwise"],
    ),
    "a turn of what is lost": (
        graph(
            Node("wide", ops.Reduction(function="sum", axes=(1,), keepdims=True), ("x",)),
            Node("turned", TURN, ("wide",)),
            Node("y", ops.Squeeze(axes=(2,)), ("turned",)),
        ),
        ["Reduction"],
    ),
    "axes that are kept and lost": (
        graph(
            Node("mean", ops.GlobalAveragePooling1D(keepdims=True), ("x",), masks=("mask",)),
            Node("least", ops.ArgReduction(function="argmin", axis=-1, keepdims=True), ("x",)),
            Node("y", ops.Squeeze(axes=(-2,)), ("mean",)),
            Node("z", ops.Squeeze(axes=(2,)), ("least",)),
            outputs=("y", "z"),
        ),
        ["GlobalAveragePooling1D", "ArgReduction"],
    ),
}

TURNS: dict[str, tuple[Graph, list[str]]] = {
    "what is done between two turns": (
        graph(
            Node("there", TURN, ("x",)),
            Node("normal", normalization(), ("there",)),
            Node("relu", ops.Activation(function="relu"), ("normal",)),
            Node("dropped", ops.Dropout(rate=0.5), ("relu",)),
            Node("cut", ops.Slice(items=((None, None, 1), (1, None, 1))), ("dropped",)),
            Node("back", TURN, ("cut",)),
            Node("y", TANH, ("back",)),
        ),
        ["BatchNormalization", "Activation", "Dropout", "Slice", "Activation"],
    ),
    "sums of what is turned, read on both sides": (
        graph(
            Node("a", TURN, ("x",)),
            Node("square", ops.Elementwise(function="square"), ("x",)),
            Node("b", TURN, ("square",)),
            Node("sum", ops.Add(), ("a", "b")),
            Node("relu", ops.Activation(function="relu"), ("sum",)),
            Node("there", TURN, ("sum",)),
            Node("sine", ops.Elementwise(function="sin"), ("there",)),
            Node("again", TURN, ("sine",)),
            Node("total", ops.Multiply(), ("again", "relu")),
            Node("back", TURN, ("total",)),
            Node("y", TANH, ("back",)),
        ),
        ["Elementwise", "Add", "Activation", "Elementwise", "Multiply", "Activation"],
    ),
    "padding, and channels side by side": (
        graph(
            Node("a", TURN, ("x",)),
            Node("pad", ops.Pad(widths=((0, 0), (0, 0), (2, 1))), ("a",)),
            Node("short", ops.Pad(widths=((0, 0), (0, 0), (0, 3)), value=2.0), ("a",)),
            Node("wide", ops.Concatenate(axis=1), ("pad", "short")),
            Node("back", TURN, ("wide",)),
            Node("y", TANH, ("back",)),
        ),
        ["ZeroPadding1D", "Pad", "Concatenate", "Activation"],
    ),
    "a new axis that goes again": (
        graph(
            Node("wide", ops.ExpandDims(axes=(3,)), ("x",)),
            Node("tanh", TANH, ("wide",)),
            Node("max", ops.Reduction(function="max", axes=(2,), keepdims=True), ("tanh",)),
            Node("y", ops.Squeeze(axes=(3,)), ("max",)),
            Node("z", TANH, ("y",)),
            outputs=("z",),
        ),
        ["Activation", "Reduction", "Activation"],
    ),
    "pooling over time": (
        graph(
            Node("a", TURN, ("x",)),
            Node("relu", ops.Activation(function="relu"), ("a",)),
            Node("mean", ops.Reduction(function="mean", axes=(-1,), keepdims=True), ("relu",)),
            Node("y", ops.Squeeze(axes=(2,)), ("mean",)),
            Node("z", TANH, ("y",)),
            outputs=("z",),
        ),
        ["Activation", "GlobalAveragePooling1D", "Activation"],
    ),
}
APPLIED: dict[str, tuple[Graph, list[str]]] = {
    **STACKS,
    **TURNS,
    "the last step of a layer of one direction": (
        graph(Node("lstm", lstm(), ("x",)), Node("last", LAST, ("lstm",)), Node("y", TANH, ("last",))),
        ["LSTM", "Activation"],
    ),
    "the last step is the output": (
        graph(Node("lstm", lstm(), ("x",)), Node("y", LAST, ("lstm",))),
        ["LSTM"],
    ),
    "the last step, backwards": (
        graph(Node("lstm", lstm(reverse=True), ("x",)), Node("y", LAST, ("lstm",))),
        ["LSTM"],
    ),
    "an element of a stack": (
        graph(
            Node("a", TANH, ("x",)),
            Node("b", ops.Activation(function="sigmoid"), ("x",)),
            Node("stack", ops.Stack(axis=0), ("a", "b")),
            Node("last", ops.Slice(items=(-1,)), ("stack",)),
            Node("first", ops.Slice(items=(0,)), ("stack",)),
            Node("y", ops.Elementwise(function="subtract"), ("last", "first")),
        ),
        ["Activation", "Activation", "Elementwise"],
    ),
    "final states side by side": (
        graph(
            Node("lstm", both(), ("x",), states(None), masks=("mask",)),
            Node("y", ops.Concatenate(axis=-1), ("h", "h_back")),
        ),
        ["Bidirectional"],
    ),
    "final states side by side, one of them used again": (
        graph(
            Node("lstm", both("concat"), ("x",), states("concat")),
            Node("y", ops.Concatenate(axis=1), ("h", "h_back")),
            Node("z", TANH, ("c",)),
            outputs=("y", "z"),
        ),
        ["Bidirectional", "Activation"],
    ),
    "directions that were joined and are taken apart": (
        graph(
            Node("lstm", both("concat"), ("x",), states("concat"), masks=("mask",)),
            apart(3, 2),
            Node("y", ops.Concatenate(axis=-1), ("two", "one")),
        ),
        ["Bidirectional", "Concatenate"],
    ),
    "directions of a layer that begins with states, taken apart": (
        started("concat", apart(3, 2), Node("y", ops.Concatenate(axis=-1), ("two", "one"))),
        ["Slice", "Slice", "Bidirectional", "Concatenate"],
    ),
    **{
        f"directions, {function} of them": (
            alike(None, Node("y", ops.Elementwise(function=function), inputs)),
            ["Bidirectional"],
        )
        for function, inputs in (("add", ("forwards", "backwards")), ("multiply", ("backwards", "forwards")))
    },
    "directions, their mean": (
        alike(
            "concat",
            apart(3, 3),
            Node("sum", add(), ("one", "two")),
            Node("count", ops.Constant(value=np.asarray(2, "float32")), ()),
            Node("y", ops.Elementwise(function="divide"), ("sum", "count")),
        ),
        ["Bidirectional"],
    ),
    **{
        f"final states, {function} of them": (
            alike(None, Node("y", ops.Elementwise(function=function), ("h", "h_back"))),
            ["Bidirectional"],
        )
        for function in ("add", "multiply")
    },
    "final states, their mean, and another": (
        alike(
            "concat",
            Node("sum", add(), ("h", "h_back")),
            Node("count", ops.Constant(value=np.asarray(2, "float32")), ()),
            Node("y", ops.Elementwise(function="divide"), ("sum", "count")),
            Node("z", TANH, ("c_back",)),
            outputs=("y", "z"),
        ),
        ["Bidirectional", "Activation"],
    ),
    "a softmax and a running sum between two turns": (
        graph(
            Node("there", TURN, ("x",)),
            Node("soft", ops.Activation(function="softmax"), ("there",)),
            Node("sum", ops.CumulativeSum(axis=-1), ("soft",)),
            Node("log", ops.LogSoftmax(axis=1), ("sum",)),
            Node("back", TURN, ("log",)),
            Node("y", TANH, ("back",)),
        ),
        ["Softmax", "CumulativeSum", "LogSoftmax", "Activation"],
    ),
    "a softmax over what is the last axis again": (
        graph(
            Node("there", ops.PermuteDims(axes=(1, 0, 2)), ("x",)),
            Node("soft", ops.Activation(function="softmax"), ("there",)),
            Node("back", ops.PermuteDims(axes=(1, 0, 2)), ("soft",)),
            Node("y", TANH, ("back",)),
        ),
        ["Activation", "Activation"],
    ),
    "rows of steps, a product and a sum": (
        rows(
            Node("b", parameter(3), ()),
            Node("xw", ops.MatMul(), ("rows", "w")),
            Node("steps", ops.ReshapeTo(shape=sizes(("N", "T", 3))), ("xw",)),
            Node("y", add(), ("steps", "b")),
        ),
        ["Dense"],
    ),
    "rows of steps and a product with a vector made a column": (
        graph(
            Node("v", parameter(4), ()),
            Node("column", ops.ReshapeTo(shape=(4, 1)), ("v",)),
            Node("rows", ops.ReshapeTo(shape=sizes(("N*T", 4))), ("x",)),
            Node("product", ops.MatMul(), ("rows", "column")),
            Node("y", ops.ReshapeTo(shape=sizes(("N", "T"))), ("product",)),
        ),
        ["Parameter", "MatMul"],
    ),
    "a product with a vector made a column": (
        graph(
            Node("v", parameter(4), ()),
            Node("column", ops.ExpandDims(axes=(-1,)), ("v",)),
            Node("wide", ops.MatMul(), ("x", "column")),
            Node("y", ops.Squeeze(axes=(2,)), ("wide",)),
        ),
        ["Parameter", "MatMul"],
    ),
    "a product with a parameter and the sum with another": (
        graph(
            Node("w", parameter(4, 3), ()),
            Node("b", parameter(3), ()),
            Node("xw", ops.MatMul(), ("x", "w")),
            Node("y", add(), ("b", "xw")),
        ),
        ["Dense"],
    ),
    "transposes that cancel": (
        graph(
            Node("there", ops.PermuteDims(axes=(1, 2, 0)), ("x",)),
            Node("back", ops.PermuteDims(axes=(2, 0, 1)), ("there",)),
            Node("y", TANH, ("back",)),
        ),
        ["Activation"],
    ),
    "transposes that are one": (
        graph(
            Node("there", ops.PermuteDims(axes=(1, 2, 0)), ("x",)),
            Node("y", ops.PermuteDims(axes=(1, 0, 2)), ("there",)),
        ),
        ["PermuteDims"],
    ),
    "constants": (
        graph(
            Node("one", constant(1, 2, 3, 4), ()),
            Node("turned", ops.Flip(axes=(0,)), ("one",)),
            Node("count", ops.Arange(stop=4), ()),
            Node("square", ops.Elementwise(function="square"), ("count",)),
            Node("floats", ops.Cast(output_dtype="float32"), ("square",)),
            Node("product", ops.Elementwise(function="multiply"), ("x", "turned")),
            Node("y", add(), ("product", "floats")),
        ),
        ["Constant", "Constant", "Elementwise", "Elementwise"],
    ),
    "an axis that comes and goes": (
        graph(
            Node("wide", ops.ExpandDims(axes=(1,)), ("x",)),
            Node("lost", ops.Squeeze(axes=(-3,)), ("wide",)),
            Node("y", TANH, ("lost",)),
        ),
        ["Activation"],
    ),
    "two reshapes": (
        graph(
            Node("flat", ops.ReshapeTo(shape=sizes(("N", "T*4"))), ("x",)),
            Node("y", ops.ReshapeTo(shape=sizes(("N", "T*2", 2))), ("flat",)),
        ),
        ["ReshapeTo"],
    ),
    "casts, slices and tiles that do nothing": (
        graph(
            Node("cast", ops.Cast(output_dtype="float32"), ("x",)),
            Node("whole", ops.Slice(items=((None, None, 1),)), ("cast",)),
            Node("tile", ops.Tile(repetitions=(1, 1, 1)), ("whole",)),
            Node("y", TANH, ("tile",)),
        ),
        ["Activation"],
    ),
}

LEFT_ALONE: dict[str, Graph] = {
    "axes that are kept, and another one lost": graph(
        Node("sum", ops.Reduction(function="sum", axes=(1, 2), keepdims=True), ("x",)),
        Node("y", ops.Squeeze(axes=(2,)), ("sum",)),
    ),
    "rows of steps that are read elsewhere too": rows(
        Node("xw", ops.MatMul(), ("rows", "w")),
        Node("steps", ops.ReshapeTo(shape=sizes(("N", "T", 3))), ("xw",)),
        Node("y", ops.Reduction(function="sum", axes=(0,)), ("xw",)),
        outputs=("y", "steps"),
        trainable=False,
    ),
    "rows of steps that become others": rows(
        Node("xw", ops.MatMul(), ("rows", "w")),
        Node("y", ops.ReshapeTo(shape=sizes(("T", "N", 3))), ("xw",)),
        trainable=False,
    ),
    "rows of steps and features": graph(
        Node("w", ops.Parameter(value=normal(rng(), 2, 3), trainable=False), ()),
        Node("rows", ops.ReshapeTo(shape=sizes(("N*T*2", 2))), ("x",)),
        Node("xw", ops.MatMul(), ("rows", "w")),
        Node("y", ops.ReshapeTo(shape=sizes(("N", "T", 6))), ("xw",)),
    ),
    "a product with a vector made a column, whose axis stays": graph(
        Node("v", parameter(4), ()),
        Node("column", ops.ExpandDims(axes=(1,)), ("v",)),
        Node("y", ops.MatMul(), ("x", "column")),
    ),
    "a mean over the features": graph(
        Node("mean", ops.Reduction(function="mean", axes=(2,)), ("x",)), Node("y", TANH, ("mean",))
    ),
    "a stack whose other axes are turned": graph(
        Node("stack", ops.Stack(axis=0), ("x", "x")),
        Node("y", ops.PermuteDims(axes=(1, 0, 3, 2)), ("stack",)),
    ),
    "states of two directions one below the other": stacked(
        Node("y", ops.ReshapeTo(shape=sizes(("N", 6))), ("stack",)), y="y"
    ),
    "a slice of what was stacked": stacked(
        Node("y", ops.Slice(items=((None, None, 1), (0, 1, 1))), ("stack",)), y="y"
    ),
    "parameters that are alike": graph(
        Node("v", parameter(4), ()),
        Node("w", parameter(4), ()),
        Node("xv", add(), ("x", "v")),
        Node("y", add(), ("xv", "w")),
    ),
    "a sequence that is used": graph(
        Node("lstm", lstm(), ("x",)), Node("y", LAST, ("lstm",)), outputs=("y", "lstm")
    ),
    "a layer with a mask": graph(Node("lstm", lstm(), ("x",), masks=("mask",)), Node("y", LAST, ("lstm",))),
    "a step that is not the last": graph(
        Node("lstm", lstm(), ("x",)), Node("y", ops.Slice(items=((None, None, 1), -2)), ("lstm",))
    ),
    "the last step of both directions": graph(
        Node("lstm", bidirectional(rng(), 4, 3, return_sequences=True), ("x",)), Node("y", LAST, ("lstm",))
    ),
    "final states the other way round": graph(
        Node("lstm", both(), ("x",), states(None)), Node("y", ops.Concatenate(axis=-1), ("h_back", "h"))
    ),
    "final states and a sequence": graph(
        Node("lstm", both(), ("x",), states(None)),
        Node("y", ops.Concatenate(axis=-1), ("h", "h_back")),
        outputs=("y", "forwards"),
    ),
    "the other states": graph(
        Node("lstm", both(), ("x",), states(None)), Node("y", ops.Concatenate(axis=-1), ("c", "c_back"))
    ),
    "final states in another order": graph(
        Node("lstm", both(), ("x",), states(None)), Node("y", ops.Concatenate(axis=-1), ("h_back", "h"))
    ),
    "a final state and another one": alike(None, Node("y", add(), ("h", "c_back"))),
    "final states of a layer that begins with states": started(
        None, Node("y", ops.Concatenate(axis=-1), ("h", "h_back"))
    ),
    "directions that are used joined as well": graph(
        Node("lstm", both("concat"), ("x",), states("concat")),
        apart(3, 2),
        Node("y", ops.Concatenate(axis=-1), ("two", "one", "both")),
    ),
    "directions taken apart elsewhere than they were joined": graph(
        Node("lstm", both("concat"), ("x",), states("concat")),
        apart(2, 3),
        Node("y", ops.Concatenate(axis=-1), ("two", "one")),
    ),
    "directions of other sizes, added up": graph(
        Node("lstm", both(backward_size=1), ("x",), states(None)), Node("y", add(), ("forwards", "backwards"))
    ),
    "directions added up, one of them used again": alike(
        None,
        Node("sum", add(), ("forwards", "backwards")),
        Node("y", ops.Elementwise(function="multiply"), ("sum", "forwards")),
    ),
    "a direction added to itself": alike(None, Node("y", add(), ("forwards", "forwards"))),
    "a third of the sum of both directions": alike(
        "sum",
        Node("count", ops.Constant(value=np.asarray(3, "float32")), ()),
        Node("y", ops.Elementwise(function="divide"), ("both", "count")),
    ),
    "a parameter that is used twice": graph(
        Node("w", parameter(4, 4), ()),
        Node("xw", ops.MatMul(), ("x", "w")),
        Node("y", ops.MatMul(), ("xw", "w")),
    ),
    "a buffer": graph(
        Node("w", ops.Parameter(value=normal(rng(), 4, 3), trainable=False), ()),
        Node("y", ops.MatMul(), ("x", "w")),
    ),
    "a parameter on the left": graph(
        Node("w", parameter(5, 4), ()),
        Node("turned", ops.PermuteDims(axes=(0, 2, 1)), ("x",)),
        Node("y", ops.MatMul(), ("w", "turned")),
    ),
    "constants that float32 rounds": graph(
        Node("one", constant(1, 2, 3, 4), ()),
        Node("sine", ops.Elementwise(function="sin"), ("one",)),
        Node("y", ops.Elementwise(function="multiply"), ("x", "sine")),
    ),
    "an element of another axis of a stack": graph(
        Node("stack", ops.Stack(axis=1), ("x", "x")), Node("y", ops.Slice(items=(0,)), ("stack",))
    ),
}


def kinds(model: Graph) -> list[str]:
    return [node.op.kind for node in model.nodes]


def check_numbers(one: Graph, two: Graph) -> None:
    draw = rng()
    for N, T in ((3, 5), (2, 1), (0, 3)):
        x, mask = draw.normal(size=(N, T, 4)), np.tril(np.ones((N, T), bool))[::-1]
        for wanted, given in zip(reference.run(one, [x, mask]), reference.run(two, [x, mask]), strict=True):
            np.testing.assert_allclose(given, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", APPLIED)
def test_a_rule_applies(case: str) -> None:
    before, wanted = APPLIED[case]
    after = simplify(before)
    assert kinds(after) == wanted
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    check_numbers(before, after)
    assert simplify(after) == after


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_no_rule_applies(case: str) -> None:
    before = LEFT_ALONE[case]
    assert simplify(before) == before


def test_directions_are_merged_as_the_operation_says() -> None:
    merges = {
        "add of them": "sum",
        "multiply of them": "mul",
        "their mean": "ave",
        "their mean, and another": "ave",
    }
    for case, merge in merges.items():
        for what in ("directions", "final states"):
            before, _ = APPLIED.get(f"{what}, {case}", (None, None))
            if before is not None:
                op = simplify(before)["lstm"].op
                assert isinstance(op, ops.Bidirectional)
                assert (op.merge, op.forward.return_sequences) == (merge, what == "directions"), case


def test_what_somebody_had_as_a_layer_of_its_own_stays_one() -> None:
    before, _ = APPLIED["final states side by side"]
    assert simplify(before, kept={"y"}) == before


@pytest.mark.parametrize("pattern", ["all padding", "holes", "left"])
def test_final_states_under_every_mask(pattern: str) -> None:
    mask = {"all padding": [[0] * 5], "holes": [[1, 0, 1, 0, 1]], "left": [[0, 0, 1, 1, 1]]}[pattern]
    arrays = [rng().normal(size=(1, 5, 4)), np.array(mask, bool)]
    for case in APPLIED:
        if case.startswith(("final states", "directions")):
            before, _ = APPLIED[case]
            np.testing.assert_allclose(
                reference.run(simplify(before), arrays)[0], reference.run(before, arrays)[0], atol=1e-15
            )


def test_an_operation_that_nothing_reads_is_left_out_and_a_layer_is_not() -> None:
    before = graph(
        Node("unused", ops.Slice(items=(0,)), ("x",)), Node("layer", lstm(), ("x",)), Node("y", TANH, ("x",))
    )
    assert kinds(simplify(before)) == ["LSTM", "Activation"]


def test_a_shared_layer_keeps_its_sequence() -> None:
    op = lstm()
    before = graph(
        Node("lstm", op, ("x",)),
        Node("lstm@1", op, ("x",)),
        Node("a", LAST, ("lstm",)),
        Node("y", add(), ("a", "lstm@1")),
    )
    assert simplify(before) == before
