"""The ops that are not recurrent, and the names of a graph's values."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from build_export import (
    MASKS,
    H,
    I,
    V,
    array,
    bidirectional,
    chain,
    dense,
    embedding,
    exported,
    lstm,
    padded_ids,
    tolerance,
    worst,
)

from biport import ops
from biport.graph import Graph, Node, Value
from biport.ops import op_classes
from export.registry import WRITERS

IDS = Value("ids", ("N", "T"), "int32")
X2, X3 = Value("x", ("N", I), "float32"), Value("x", ("N", "T", I), "float32")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_every_op_has_a_writer(rng, tmp_path):
    exported(chain(rng, lstm(rng, I, H)), tmp_path)
    assert set(WRITERS) == set(op_classes())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_dense(activation, rank, bias, rng, tmp_path):
    sizes = (6, 2, 3)[: rank - 1]
    x = Value("x", ("N", *sizes[1:], I), "float32")
    graph = Graph((x,), (Node("d", dense(rng, I, activation, bias), ("x",)),), ("d",))
    session = exported(graph, tmp_path)
    scale = 0.1 if activation == "exponential" else 3
    assert worst(graph, session, scale * array(rng, *sizes, I)) <= tolerance(graph)
    assert worst(graph, session, array(rng, 0, *sizes[1:], I)) == 0


def test_keras_2s_hard_sigmoid_is_onnx_own(rng, tmp_path):
    node = Node("y", ops.Activation(function="hard_sigmoid_keras2"), ("x",))
    session = exported(Graph((X2,), (node,), ("y",)), tmp_path)
    (node,) = onnx.load(session.path).graph.node
    assert (node.op_type, list(node.attribute)) == ("HardSigmoid", [])


@pytest.mark.parametrize("dtype", ops.INTEGERS)
@pytest.mark.parametrize("shape", [("N",), ("N", "T"), ("N", "T", 2)])
def test_embedding_of_any_rank(shape, dtype, rng, tmp_path):
    graph = Graph((Value("ids", shape, dtype),), (Node("e", embedding(rng), ("ids",)),), ("e",))
    session = exported(graph, tmp_path)
    assert session.input_values[0].dtype == dtype
    ids = rng.integers(0, V, (4, 3, 2)[: len(shape)]).astype(dtype)
    assert worst(graph, session, ids) == 0
    assert worst(graph, session, ids[:0]) == 0


@pytest.mark.parametrize("masked", [True, False])
def test_global_average_pooling(masked, rng, tmp_path):
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), ops.GlobalAveragePooling1D(), masked=masked)
    session = exported(graph, tmp_path)
    for kind in MASKS:
        assert worst(graph, session, padded_ids(rng, kind)) <= tolerance(graph)
    for shape in ((0, 7), (4, 0), (0, 0)):
        assert worst(graph, session, np.zeros(shape, "int32")) == 0


def test_global_max_pooling_counts_masked_steps(rng, tmp_path):
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), ops.GlobalMaxPooling1D())
    session = exported(graph, tmp_path)
    for kind in MASKS:
        assert worst(graph, session, padded_ids(rng, kind)) <= tolerance(graph)
    assert worst(graph, session, np.zeros((0, 7), "int32")) == 0


def test_masks_are_outputs_like_any_other(rng, tmp_path):
    nodes = (
        Node("a", ops.NotEqual(), ("ids",)),
        Node("b", ops.NotEqual(value=-3), ("more",)),
        Node("c", ops.NotEqual(value=2), ("ids",)),
        Node("any", ops.LogicalOr(), ("a", "b", "c")),
        Node("all", ops.LogicalAnd(), ("a", "b", "c")),
        Node("both", ops.Concatenate(axis=1), ("a", "b")),
    )
    graph = Graph((IDS, Value("more", ("N", "T"), "int64")), nodes, ("a", "any", "all", "both"))
    session = exported(graph, tmp_path)
    more = rng.integers(-3, 3, (6, 7))
    assert worst(graph, session, padded_ids(rng, "holes"), more) == 0


def test_joined_in_time_under_a_joined_mask(rng, tmp_path):
    table = embedding(rng)
    nodes = (
        Node("m1", ops.NotEqual(), ("left",)),
        Node("m2", ops.NotEqual(), ("right",)),
        Node("e1", table, ("left",)),
        Node("e2", table, ("right",)),
        Node("mask", ops.Concatenate(axis=1), ("m1", "m2")),
        Node("x", ops.Concatenate(axis=1), ("e1", "e2")),
        Node("bi", bidirectional(rng, I, H, sequences=True), ("x",), masks=("mask",)),
    )
    # Both are T, as Keras' readers name them, and yet of different lengths.
    inputs = (Value("left", ("N", "T"), "int32"), Value("right", ("N", "T"), "int32"))
    graph = Graph(inputs, nodes, ("bi", "e1", "m2"))
    session = exported(graph, tmp_path)
    assert [value.shape for value in session.input_values] == [("N", "T"), ("N", "T_2")]
    for one in MASKS:
        left, right = padded_ids(rng, one, 6, 5), padded_ids(rng, "holes", 6, 8)
        assert worst(graph, session, left, right) <= tolerance(graph)
    for T, S in ((0, 3), (3, 0), (0, 0)):
        left, right = padded_ids(rng, "holes", 2, T), padded_ids(rng, "holes", 2, S)
        assert worst(graph, session, left, right) <= tolerance(graph)


def test_features_joined_between_layers(rng, tmp_path):
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("e", embedding(rng), ("ids",)),
        Node("a", bidirectional(rng, I, H, sequences=True), ("e",), masks=("mask",)),
        Node("b", lstm(rng, I, 2, return_sequences=True), ("e",), masks=("mask",)),
        Node("drop", ops.SpatialDropout1D(rate=0.5), ("b",)),
        Node("joined", ops.Concatenate(), ("a", "drop")),
        Node("mixed", dense(rng, 2 * H + 2, "tanh"), ("joined",)),
        Node("last", lstm(rng, 4, H), ("mixed",), masks=("mask",)),
        Node("again", lstm(rng, 2 * H + 2, H, reverse=True), ("joined",), masks=("mask",)),
        Node("bare", lstm(rng, 2 * H + 2, H), ("joined",)),
    )
    graph = Graph((IDS,), nodes, ("last", "again", "bare", "joined"))
    session = exported(graph, tmp_path)
    for kind in MASKS:
        assert worst(graph, session, padded_ids(rng, kind)) <= tolerance(graph)


def test_names_of_inputs_and_outputs(rng, tmp_path):
    nodes = (
        Node("drop", ops.Dropout(rate=0.5), ("x",)),
        Node("drop/Identity:0", ops.Dropout(rate=0.5), ("x",)),
        Node("d", dense(rng, I, "linear"), ("drop",)),
        Node("drop_d", ops.Dropout(rate=0.5), ("d",)),
    )
    outputs = ("drop_d", "x", "d", "drop", "drop/Identity:0")
    graph = Graph((X2, Value("unused", ("N", 2), "float32")), nodes, outputs)
    session = exported(graph, tmp_path)
    assert session.output_names == list(outputs)
    assert [value.name for value in session.input_values] == ["x", "unused"]
    assert worst(graph, session, array(rng, 6, I), array(rng, 6, 2)) <= tolerance(graph)


def test_axes_are_named_by_the_letters(rng, tmp_path):
    session = exported(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path)
    graph = onnx.load(session.path).graph
    dims = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert dims == [["N", "T"], ["N", "T", 2 * H]]


def test_what_nobody_asks_for_is_not_written(rng, tmp_path):
    graph = chain(rng, lstm(rng, I, H), dense(rng, H, "relu"))
    graph = Graph(graph.inputs, graph.nodes, ("mask",))
    assert exported(graph, tmp_path).node_count == 2
