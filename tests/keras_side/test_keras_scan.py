"""A recurrence over any cell in Keras, an RNN around a cell that is a model: written, saved, read, filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
from biport import ops, reference
from biport.errors import SettingsError, UnsupportedError, WeightError
from biport.graph import Graph, frozen, penalties
from keras_side.layers import BodyCell
from keras_side.reading.live_layer import layer_op, recurrent_op
from testing import scans
from testing.recurrent_graphs import inputs_of

SETTINGS = (
    {"return_sequences": True, "return_state": True},
    {"reverse": True, "return_state": True, "zero_output_for_mask": True},
    {"reverse": True, "return_sequences": True, "zero_output_for_mask": True},
    {},
)
MASKS = ("right", "left", "holes", "all padding")
FEW = {("IndRNN", 1)}
CASES = [
    pytest.param(name, at, marks=() if (name, at) in FEW else pytest.mark.sweep)
    for name in scans.CELLS
    for at in range(len(SETTINGS))
]


def graph_of(name: str, at: int, dtype: str = "float64") -> Graph:
    op = scans.CELLS[name](np.random.default_rng(1), dtype, **SETTINGS[at])
    return scans.graph_of(op, states=at == 1)


def arrays_of(graph: Graph) -> list[np.ndarray]:
    """Rows of every pattern of mask, in one batch."""
    rng = np.random.default_rng(2)
    parts = [inputs_of(graph.at({"S": 4}), rng, kind) for kind in MASKS]
    return [
        np.concatenate(arrays).astype(value.dtype)
        for *arrays, value in zip(*parts, graph.inputs, strict=True)
    ]


def check(model: Any, graph: Graph, arrays: list[np.ndarray], allowed: float) -> None:
    for mine, exact in zip(
        keras_side.run(model, arrays, graph), reference.run(graph, arrays, "float64"), strict=True
    ):
        np.testing.assert_allclose(mine, exact, atol=allowed, rtol=0)


@pytest.mark.parametrize(("name", "at"), CASES)
def test_every_cell_is_written_saved_and_read_back(name: str, at: int, tmp_path: Path) -> None:
    graph = graph_of(name, at)
    model = keras_side.write(graph)
    arrays = arrays_of(graph)
    check(model, graph, arrays, 1e-12)
    back = keras_side.read(model)
    assert {node.op.kind for node in back.nodes} == {node.op.kind for node in graph.nodes}
    mine, yours = back["cell"].op.weights(), graph["cell"].op.weights()
    trained = {path.replace("/", "_") for path in yours if "constant" not in path}
    assert {path for path in mine if "constant" not in path} == trained
    again = keras_side.read(keras_side.write(back))
    # What is turned at the end of a step goes by another name the first time.
    assert keras_side.read(keras_side.write(again)) == again
    check(keras_side.write(again), graph, arrays, 1e-12)
    path = keras_side.save(graph, tmp_path / "m.keras")
    assert keras_side.read(path) == back
    assert keras_side.custom_objects(path)[0] == "BodyCell"
    loaded: Any = keras.saving.load_model(path, compile=False)
    assert keras_side.read(loaded) == back


@pytest.mark.sweep
@pytest.mark.parametrize("name", scans.CELLS)
def test_an_hdf5_file_has_the_same(name: str, tmp_path: Path) -> None:
    model = keras_side.write(graph_of(name, 0, "float32"))
    model.save(tmp_path / "m.h5")
    assert keras_side.read(tmp_path / "m.h5") == keras_side.read(model)


def test_masks_that_hang_on_constants_are_none_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    body = scans.Body(rng, memory=("N", "S", 4))
    mean = body("mean", ops.GlobalAveragePooling1D(), "memory")
    both = body("both", ops.Concatenate(axis=-1), "x", mean, "h")
    h = body.function("tanh", body.dense("wide", both, 12, 3))
    written = keras_side.write(scans.graph_of(body.scan({"h": 3}, (h, h)), masked=False))
    # Somebody's own model, whose table hands on a mask.
    words, x = keras.Input((None,), dtype="int32"), keras.Input((None, 5))
    memory = keras.layers.Embedding(6, 4, mask_zero=True)(words)
    model = keras.Model([x, words], written.get_layer("cell")(x, constants=[memory]))
    graph = keras_side.read(model)
    ids = np.array([[1, 2, 0, 0], [0, 3, 4, 1], [5, 0, 1, 0]], "int32")
    check(model, graph, [rng.normal(size=(3, 4, 5)).astype("float32"), ids], 2e-6)


def body_cell() -> BodyCell:
    model = keras_side.write(scans.graph_of(scans.peephole_lstm(np.random.default_rng(1)), masked=False))
    return model.get_layer("cell").cell


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("merge", "sequences"),
    [("concat", True), ("ave", False), (None, True), ("mul", True)],
)
def test_both_directions_are_two_recurrences(merge: str | None, sequences: bool, tmp_path: Path) -> None:
    x, ids = keras.Input((None, 5)), keras.Input((None,), dtype="int32")
    rnn = keras.layers.RNN(body_cell(), return_sequences=sequences, return_state=True)
    both: Any = keras.layers.Bidirectional
    outputs = both(rnn, merge_mode=merge, name="bi")(x, mask=keras.ops.not_equal(ids, 0))
    model = keras.Model([x, ids], outputs)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, variable.shape) for variable in model.weights])
    graph = keras_side.read(model)
    assert [node.name for node in graph.nodes if node.op.kind == "Scan"] == [
        "bi.forward_layer",
        "bi.backward_layer",
    ]
    valid = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], "int32")
    check(model, graph, [rng.normal(size=(4, 4, 5)).astype("float32"), valid], 2e-6)
    model.save(tmp_path / "m.keras")
    assert keras_side.read(tmp_path / "m.keras") == graph


@pytest.mark.sweep
def test_a_recurrence_at_every_step_is_one_over_the_steps_as_rows() -> None:
    x = keras.Input((None, None, 5))
    model = keras.Model(x, keras.layers.TimeDistributed(keras.layers.RNN(body_cell()))(x))
    graph = keras_side.read(model)
    assert [node.op.kind for node in graph.nodes] == ["ReshapeTo", "Scan", "ReshapeTo"]
    check(model, graph, [np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")], 2e-6)


def test_an_existing_model_is_filled_and_compared_layer_by_layer() -> None:
    rng = np.random.default_rng(5)
    one, two = (scans.graph_of(scans.ind_rnn(rng, return_sequences=True), masked=False) for _ in range(2))
    model = keras_side.write(one)
    keras_side.load(model, two)
    assert keras_side.read(model) == keras_side.read(keras_side.write(two))
    body = scans.Body(rng)
    own = body.function("multiply", body("u", two["cell"].op.body["u"]), "h")  # pyright: ignore
    h = body.function("tanh", body.function("add", body.dense("x_h", "x", 5, 3), own), name="y")
    other = scans.graph_of(body.scan({"h": 3}, (h, h), return_sequences=True), masked=False)
    with pytest.raises(SettingsError, match=r"layer 'cell\.y': function is 'relu', the graph's 'tanh'"):
        keras_side.load(model, other)
    wider = scans.Body(rng)
    h = wider.dense("x_h", "x", 5, 3)
    with pytest.raises(WeightError, match="steps with layers that have weights"):
        keras_side.load(model, scans.graph_of(wider.scan({"h": 3}, (h, h)), masked=False))


@pytest.mark.sweep
def test_what_training_does_with_the_weights_of_a_step_travels(tmp_path: Path) -> None:
    op = scans.ind_rnn(np.random.default_rng(0), return_sequences=True)
    said = {"body.x_h": ops.Learning(frozen=frozenset({"bias", "weight"}))}
    graph = scans.graph_of(op.with_learning(said), masked=False)
    model: Any = keras_side.write(graph)
    assert [variable.name for variable in model.trainable_weights] == ["value"]
    path = keras_side.save(graph, tmp_path / "m.keras")
    for again in (keras_side.read(model), keras_side.read(path)):
        assert frozen(again) == {"cell.body.x_h.weight", "cell.body.x_h.bias"}
        assert not penalties(again)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    before = model.predict(x, verbose=0)
    model.fit(x, np.ones((4, 3, 3)), verbose=0)
    assert np.abs(model.predict(x, verbose=0) - before).max() > 0


def test_a_layer_out_of_its_model_says_that_it_is_read_with_it() -> None:
    model = keras_side.write(scans.graph_of(scans.ind_rnn(np.random.default_rng(0)), masked=False))
    with pytest.raises(UnsupportedError, match="body='a model' is not supported"):
        layer_op(model.get_layer("cell"))
    assert recurrent_op(model.get_layer("cell")) is None
