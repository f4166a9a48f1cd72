"""Graphs to live models and files: same numbers, same graph, whole files or none."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
from biport import ops, reference
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from keras_side.registry import WRITERS
from testing import graphs
from testing.graphs import embedding
from testing.keras_models import E, H, O, T, V, assert_close, features, live_outputs, token_ids, valid_steps
from testing.masks import padded_ids

RNG = np.random.default_rng(7)


array, lstm = partial(graphs.normal, RNG), partial(graphs.lstm, RNG)


def bidirectional(size: int, units: int, merge: str | None, sequences: bool, bias: int = 1) -> Any:
    rules = {"return_sequences": sequences, "zero_output_for_mask": sequences}
    return ops.Bidirectional(
        forward=lstm(size, units, bias, **rules, dropout=0.1),
        backward=lstm(size, units, bias, **rules, reverse=True),
        merge=merge,
    )


def table(masked: bool = True, size: int = E) -> ops.Embedding:
    return ops.Embedding(num_embeddings=V, embedding_dim=size, mask_zero=masked, weight=array(V, size))


def dense(size: int, out: int, activation: str = "linear", bias: bool = True) -> ops.Dense:
    return ops.Dense(
        input_size=size,
        output_size=out,
        activation=activation,
        weight=array(out, size),
        bias=array(out) if bias else None,
    )


TOKENS = Value("tokens", ("N", "T"), "int32")


def graph_of(*nodes: Node, outputs: tuple[str, ...], inputs: tuple[Value, ...] = (TOKENS,)) -> Graph:
    return Graph(inputs, nodes, outputs)


def everything() -> Graph:
    """Every op and every way to use a mask, in one graph."""
    nodes = [
        Node("embedding", table(), ("tokens",)),
        Node("valid", ops.NotEqual(value=0), ("tokens",)),
        Node("other", ops.NotEqual(value=2), ("tokens",)),
        Node("either", ops.LogicalOr(), ("valid", "other", "given")),
        Node("every", ops.LogicalAnd(), ("valid", "other", "given")),
        Node("spatial", ops.SpatialDropout1D(rate=0.3), ("embedding",)),
        Node("drop", ops.Dropout(rate=0.2), ("spatial",)),
    ]
    outputs = []
    for merge in ops.MERGE_MODES:
        for sequences in (True, False):
            name = f"bi_{merge}_{sequences}".lower()
            values = (f"{name}:0", f"{name}:1") if merge is None else (name,)
            op = bidirectional(E, H, merge, sequences)
            nodes.append(Node(name, op, ("drop",), values, ("valid",)))
            outputs += values
    rules = [
        ({"return_sequences": True}, "valid"),
        ({"return_sequences": True, "zero_output_for_mask": True}, "other"),
        ({"return_sequences": True, "reverse": True}, "either"),
        ({"return_sequences": True}, "given"),
        ({"reverse": True}, None),
        ({}, "either"),
        ({"return_sequences": True, "zero_output_for_mask": True}, "every"),
    ]
    for number, (settings, mask) in enumerate(rules):
        op = lstm(E, 2 + number, number % 2, **settings)
        nodes.append(Node(f"lstm_{number}", op, ("drop",), masks=(mask,)))
        outputs.append(f"lstm_{number}")
    nodes += [
        Node("joined", ops.Concatenate(), ("lstm_0", "lstm_3")),
        Node("again", lstm(7, 4), ("joined",), masks=("valid",)),
        Node("late", ops.Concatenate(axis=1), ("embedding", "wide")),
        Node("late_mask", ops.Concatenate(axis=1), ("valid", "given")),
        Node("after", lstm(E, 4), ("late",), masks=("late_mask",)),
        Node("mean", ops.GlobalAveragePooling1D(), ("late",), masks=("late_mask",)),
        Node("plain_mean", ops.GlobalAveragePooling1D(), ("joined",)),
        Node("largest", ops.GlobalMaxPooling1D(), ("joined",)),
    ]
    outputs += ["again", "after", "mean", "plain_mean", "largest"]
    for activation in ops.ACTIVATIONS:
        nodes.append(Node(activation, dense(4, 3, activation, activation != "tanh"), ("again",)))
        outputs.append(activation)
    inputs = (TOKENS, Value("given", ("N", "T"), "bool"), Value("wide", ("N", "T", E), "float32"))
    return graph_of(*nodes, outputs=tuple(outputs), inputs=inputs)


@pytest.fixture(scope="module")
def full() -> Graph:
    return everything()


@pytest.fixture(scope="module")
def arrays() -> list[np.ndarray]:
    ids = token_ids()
    ids[0, 2] = 2
    return [ids, valid_steps()[::-1].copy(), features(6, T, E)]


def test_every_op_has_a_writer() -> None:
    assert set(ops.op_classes()) == set(WRITERS)
    assert {type(node.op) for node in everything().nodes} < set(WRITERS)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.sweep), "float64"])
def test_a_written_model_computes_what_the_graph_says(
    dtype: str, full: Graph, arrays: list[np.ndarray], tmp_path: Path
) -> None:
    graph = full.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras_side.write(graph)
    expected = reference.run(graph, arrays)
    with np.errstate(all="ignore"):
        assert_close(live_outputs(model, arrays), expected, dtype, graph.outputs)
        assert_close(keras_side.run(model, arrays, graph), expected, dtype, graph.outputs)
    if dtype == "float32":
        model.save(tmp_path / "written.keras")
        again: Any = keras.saving.load_model(tmp_path / "written.keras", compile=False)
        with np.errstate(all="ignore"):
            for one, two in zip(live_outputs(again, arrays), live_outputs(model, arrays), strict=True):
                np.testing.assert_array_equal(one, two)
            read = reference.run(keras_side.read(tmp_path / "written.keras"), arrays)
        for one, two in zip(read, expected, strict=True):
            np.testing.assert_array_equal(one, two)


def simple(masked: bool = True) -> Graph:
    mask = ("embedding_mask",) if masked else (None,)
    return graph_of(
        Node("embedding", table(), ("tokens",)),
        *([Node("embedding_mask", ops.NotEqual(), ("tokens",))] if masked else []),
        Node("bi", bidirectional(E, H, "concat", True), ("embedding",), masks=mask),
        Node("last", lstm(2 * H, O), ("bi",), masks=mask),
        Node("head", dense(O, 2, "softmax"), ("last",)),
        outputs=("head", "bi"),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_written_is_read_back(dtype: str, tmp_path: Path) -> None:
    graph = simple().astype(dtype)
    model = keras_side.write(graph)
    assert keras_side.read(model) == graph
    path = keras_side.save(graph, tmp_path / "model.keras")
    assert path == tmp_path / "model.keras"
    assert keras_side.read(path) == graph
    assert keras_side.read(path).digest() == graph.digest()
    again: Any = keras.saving.load_model(path, compile=False)
    assert keras_side.read(again) == graph
    assert_close(live_outputs(again, [token_ids()]), reference.run(graph, [token_ids()]), dtype)


def test_shared_ops_stay_shared() -> None:
    shared, embedding = lstm(E, H), table(masked=False)
    graph = graph_of(
        Node("embedding", embedding, ("tokens",)),
        Node("embedding_2", embedding, ("more",)),
        Node("one", shared, ("embedding",)),
        Node("two", shared, ("embedding_2",)),
        Node("joined", ops.Concatenate(), ("one", "two")),
        outputs=("joined",),
        inputs=(TOKENS, Value("more", ("N", "T"), "int32")),
    )
    model = keras_side.write(graph)
    assert len([layer for layer in model.layers if layer.weights]) == 2
    read = keras_side.read(model)
    assert read.parameter_count() == graph.parameter_count() == model.count_params()
    inputs = [token_ids(), token_ids(seed=3)]
    assert_close(live_outputs(model, inputs), reference.run(graph, inputs), "float32")


def test_a_graph_without_a_mask_where_keras_would_hand_one_on() -> None:
    """mask_zero hangs a mask on the embedding's output; this graph's layers do not take it."""
    graph = simple(masked=False)
    model = keras_side.write(graph)
    ids = [token_ids()]
    assert_close(live_outputs(model, ids), reference.run(graph, ids), "float32")
    marked = dataclasses.replace(
        graph,
        nodes=(
            graph.nodes[0],
            Node("embedding_mask", ops.NotEqual(), ("tokens",)),
            *(dataclasses.replace(node, masks=("embedding_mask",)) for node in graph.nodes[1:3]),
            graph.nodes[3],
        ),
    )
    differ = reference.run(marked, ids)[0] - reference.run(graph, ids)[0]
    assert np.abs(differ).max() > 1e-3


def test_a_pooled_embedding_without_its_mask() -> None:
    graph = graph_of(
        Node("embedding", table(), ("tokens",)),
        Node("mean", ops.GlobalAveragePooling1D(), ("embedding",)),
        outputs=("mean",),
    )
    ids = [token_ids()]
    assert_close(live_outputs(keras_side.write(graph), ids), reference.run(graph, ids), "float32")


def test_two_biases_are_added_up_with_a_warning() -> None:
    op = lstm(E, H, biases=2)
    graph = graph_of(
        Node("embedding", table(False), ("tokens",)), Node("it", op, ("embedding",)), outputs=("it",)
    )
    with pytest.warns(UserWarning, match="two biases.*it"):
        model = keras_side.write(graph)
    bias = model.get_layer("it").get_weights()[2]
    assert bias.dtype == np.float32
    assert op.bias_ih is not None
    assert op.bias_hh is not None
    for position, gate in enumerate("ifco"):
        part = bias[position * H : (position + 1) * H]
        np.testing.assert_array_equal(part, op.bias_ih[gate] + op.bias_hh[gate])
    assert_close(live_outputs(model, [token_ids()]), reference.run(graph, [token_ids()]), "float32")


def test_a_second_bias_of_zeros_is_no_matter() -> None:
    op = lstm(E, H)
    zero = dataclasses.replace(op, bias_hh={gate: np.zeros(H, "float32") for gate in ops.LSTM.gates})
    graph = graph_of(
        Node("embedding", table(False), ("tokens",)), Node("it", zero, ("embedding",)), outputs=("it",)
    )
    read = keras_side.read(keras_side.write(graph))["it"].op
    assert read == op


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        keras_side.save(simple(), path)
    assert path.read_text() == "mine"
    keras_side.save(simple(), path, overwrite=True)
    assert path.read_bytes().startswith(b"PK")
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.keras"
    path.write_text("mine")

    def fail(self: object, target: Path, *args: object, **options: object) -> None:
        Path(target).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(FileError, match="cannot be written: disk full"):
        keras_side.save(simple(), path, overwrite=True)
    assert path.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [path]


def test_where_a_file_cannot_go(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.keras"):
        keras_side.save(simple(), tmp_path / "model.h5")
    with pytest.raises(InputError, match="does not exist"):
        keras_side.save(simple(), tmp_path / "nowhere" / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_names_of_flattened_models_are_written(tmp_path: Path) -> None:
    """Layers of nested models are called ``outer.inner``."""
    graph = graph_of(
        Node("outer.embedding", table(False), ("tokens",)),
        Node("outer.lstm", lstm(E, H), ("outer.embedding",)),
        outputs=("outer.lstm",),
    )
    assert keras_side.read(keras_side.save(graph, tmp_path / "a.keras")) == graph


@pytest.mark.parametrize("kind", ["Multiply", "MultiHeadAttention"])
def test_an_output_that_nobody_uses(kind: str) -> None:
    """Keras leaves out what makes it, and numbers the calls of a shared layer without it."""
    inside = keras.Input((4, 2))
    one = keras.layers.LSTM(2, return_sequences=True)(inside)
    layer = keras.layers.MultiHeadAttention(1, 2) if kind == "MultiHeadAttention" else keras.layers.Multiply()
    both = layer(one, inside) if kind == "MultiHeadAttention" else layer([one, inside])
    inner = keras.Model(inside, [both, one])
    x = keras.Input((4, 2))
    graph = keras_side.read(keras.Model(x, inner(inner(x)[1])[0]))
    inputs = [features(2, 4, 2)]
    written = live_outputs(keras_side.write(graph), inputs)
    assert_close(written, reference.run(graph, inputs), "float32")


def test_an_op_without_a_writer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(WRITERS._functions, ops.LSTM)
    with pytest.raises(UnsupportedError, match=r"LSTM"):
        keras_side.write(simple())


def test_names_that_keras_gives_its_own_operations_are_taken() -> None:
    # Whatever number Keras would give its next operations, a layer of the graph has that name already.
    names = [
        f"{kind}_{number}" for kind in ("concatenate", "not_equal", "any", "logical_or") for number in (1, 2)
    ]
    rng = np.random.default_rng(4)
    nodes = [
        Node("embedding", embedding(rng, 5), ("ids",)),
        Node(names[0], ops.NotEqual(value=3), ("ids",)),
        Node(names[2], ops.NotEqual(value=4), ("ids",)),
        Node(names[4], ops.NotEqual(value=5), ("ids",)),
        Node(names[6], ops.LogicalOr(), (names[0], names[2], names[4])),
        Node(names[1], ops.Concatenate(), ("embedding", "embedding")),
        Node(names[3], lstm(10, 3), (names[1],), masks=(names[6],)),
        Node(names[5], lstm(5, 2), ("embedding",)),
    ]
    graph = Graph((Value("ids", ("N", "T"), "int32"),), tuple(nodes), (names[3], names[5]))
    ids = padded_ids("holes", 4, 7, rng)
    exact = reference.run(graph, [ids])
    for _ in range(3):
        model = keras_side.write(graph)
        for outputs in (keras_side.run(model, [ids], graph), reference.run(keras_side.read(model), [ids])):
            for mine, yours in zip(outputs, exact, strict=True):
                np.testing.assert_allclose(mine, yours, atol=1e-6)
