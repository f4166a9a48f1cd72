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


def both(merge: str | None = None, **settings: Any) -> ops.Bidirectional:
    sequences = settings.pop("return_sequences", True)
    rules: dict[str, Any] = {
        "return_sequences": sequences,
        "zero_output_for_mask": sequences,
        "return_state": True,
    }
    forward = cell(rng(), ops.LSTM, 4, 3, **rules)
    return ops.Bidirectional(
        forward=forward, backward=cell(rng(), ops.LSTM, 4, 2, **rules, reverse=True), merge=merge
    )


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


APPLIED: dict[str, tuple[Graph, list[str]]] = {
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


@pytest.mark.parametrize("pattern", ["all padding", "holes", "left"])
def test_final_states_under_every_mask(pattern: str) -> None:
    before, _ = APPLIED["final states side by side"]
    mask = {"all padding": [[0] * 5], "holes": [[1, 0, 1, 0, 1]], "left": [[0, 0, 1, 1, 1]]}[pattern]
    arrays = [rng().normal(size=(1, 5, 4)), np.array(mask, bool)]
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
