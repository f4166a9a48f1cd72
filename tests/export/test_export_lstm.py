"""LSTM and Bidirectional behind a table and each other, under every mask; alone: test_export_recurrent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest

from biport import ops
from biport.graph import Graph, Node, Value
from testing.onnx_graphs import (
    MASKS,
    H,
    I,
    bidirectional,
    chain,
    exported,
    lstm,
    padded_ids,
    tolerance,
    worst,
)


def recurrent_nodes(session) -> list[str]:
    """The names of the nodes over all rows, in a branch or not."""

    def names(graph) -> Iterator[str]:
        for node in graph.node:
            yield from [node.name] * (node.op_type == "LSTM")
            for part in node.attribute:
                yield from names(part.g) if part.name == "else_branch" else ()

    return list(names(onnx.load(session.path).graph))


def check(graph: Graph, folder, rng, *, layers: int = 1) -> None:
    session = exported(graph, folder)
    assert len(recurrent_nodes(session)) == layers
    for kind in MASKS:
        assert worst(graph, session, padded_ids(rng, kind)) <= tolerance(graph), kind
    for N, T in ((1, 1), (1, 7), (4, 1)):
        assert worst(graph, session, padded_ids(rng, "holes", N, T)) <= tolerance(graph), (N, T)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.cover(2)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("merge", ops.MERGE_MODES)
def test_two_layers(merge, sequences, masked, rng, tmp_path):
    width = 2 * H if merge == "concat" else H
    first = bidirectional(rng, I, H, sequences=True, merge=merge)
    second = bidirectional(rng, width, 4, sequences=sequences, merge=merge)
    check(chain(rng, first, second, masked=masked), tmp_path, rng, layers=2)


@pytest.mark.cover(2)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("zero", [True, False])
def test_lstm_on_lstm(zero, reverse, masked, rng, tmp_path):
    first = lstm(rng, I, H, return_sequences=True, reverse=reverse, zero_output_for_mask=zero)
    second = lstm(rng, H, 4, reverse=not reverse)
    check(chain(rng, first, second, masked=masked), tmp_path, rng, layers=2)


def test_size_one(rng, tmp_path):
    check(chain(rng, bidirectional(rng, I, 1, sequences=True), lstm(rng, 2, 1)), tmp_path, rng, layers=2)


def test_200_steps(rng, tmp_path):
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), lstm(rng, 2 * H, 4))
    session = exported(graph, tmp_path)
    assert worst(graph, session, padded_ids(rng, "holes", 3, 200)) <= tolerance(graph)


def test_stacked_layers_hand_over_step_form(rng, tmp_path):
    graph = chain(
        rng, bidirectional(rng, I, H, sequences=True), bidirectional(rng, 2 * H, 4, sequences=False)
    )
    graph = Graph(graph.inputs, graph.nodes, graph.outputs[-1:])
    session = exported(graph, tmp_path, lowering="fused")
    assert worst(graph, session, padded_ids(rng, "empty row")) <= tolerance(graph)
    kinds = [node.op_type for node in onnx.load(session.path).graph.node]
    # The rows of the table, and nothing else, are gathered: no way back between the two layers.
    assert kinds.count("Gather") == 1
    assert kinds.count("ScatterElements") == 1


@pytest.mark.parametrize("shape", [("N", "T", I), (4, "T", I), ("N", 7, I), (4, 7, I)])
@pytest.mark.parametrize("masked", [True, False])
def test_float_inputs_and_fixed_sizes(masked, shape, rng, tmp_path):
    nodes = [
        Node("mask", ops.NotEqual(value=0), ("ids",)),
        Node("bi", bidirectional(rng, I, H, sequences=True), ("x",), masks=("mask" if masked else None,)),
        Node("last", lstm(rng, I, H, reverse=True), ("x",), masks=("mask" if masked else None,)),
    ]
    inputs = (Value("x", shape, "float32"), Value("ids", shape[:2], "int64"))
    graph = Graph(inputs, tuple(nodes), ("bi", "last"))
    session = exported(graph, tmp_path)
    x = rng.normal(size=(4, 7, I)).astype("float32")
    for kind in MASKS:
        ids = padded_ids(rng, kind, 4, 7).astype("int64")
        assert worst(graph, session, x, ids) <= tolerance(graph), kind


def test_no_redundant_attributes(rng, tmp_path):
    session = exported(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path, lowering="fused")
    (node,) = [node for node in onnx.load(session.path).graph.node if node.op_type == "LSTM"]
    assert sorted(attribute.name for attribute in node.attribute) == ["direction", "hidden_size"]
    assert node.name == "layer_1/LSTM"


def test_a_layer_called_twice_shares_its_initialisers(rng, tmp_path):
    op = lstm(rng, I, H)
    nodes = (
        Node("a", op, ("x",)),
        Node("b", op, ("y",)),
    )
    inputs = (Value("x", ("N", "T", I), "float32"), Value("y", ("N", "S", I), "float32"))
    graph = Graph(inputs, nodes, ("a", "b"))
    session = exported(graph, tmp_path)
    x, y = (rng.normal(size=(2, T, I)).astype("float32") for T in (3, 4))
    assert worst(graph, session, x, y) <= tolerance(graph)
    one, two = (node for node in onnx.load(session.path).graph.node if node.op_type == "LSTM")
    assert list(one.input)[1:] == list(two.input)[1:]
