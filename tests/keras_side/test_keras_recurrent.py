"""Every recurrent layer of Keras, read, computed by the reference and written again; Keras is the truth."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
from biport import ops, reference
from biport.graph import Graph, weight_differences
from keras_side.require import register
from keras_side.shared.activations import write_activation
from testing.keras_models import floats

layers: Any = keras.layers
H = 4

KINDS: dict[str, Any] = {
    "lstm": lambda **k: layers.LSTM(H, **k),
    "gru": lambda **k: layers.GRU(H, **k),
    "gru, reset before": lambda **k: layers.GRU(H, reset_after=False, **k),
    "rnn": lambda **k: layers.SimpleRNN(H, **k),
    "lstm, other activations": lambda **k: layers.LSTM(
        H, activation="softsign", recurrent_activation="hard_sigmoid", **k
    ),
    "lstm of keras 2": lambda **k: layers.LSTM(
        H, recurrent_activation=write_activation("hard_sigmoid_keras2"), **k
    ),
    "gru without biases": lambda **k: layers.GRU(H, use_bias=False, **k),
    "rnn of relu without biases": lambda **k: layers.SimpleRNN(H, activation="relu", use_bias=False, **k),
    "rnn around a cell": lambda **k: layers.RNN(layers.GRUCell(H, recurrent_activation="tanh"), **k),
    "stacked cells": lambda **k: layers.RNN(
        layers.StackedRNNCells(
            [layers.LSTMCell(5), layers.GRUCell(3), layers.LSTMCell(2), layers.SimpleRNNCell(H)]
        ),
        **k,
    ),
}
STATES: dict[str, Any] = {kind: [H] for kind in KINDS} | {
    "lstm": [H, H],
    "lstm, other activations": [H, H],
    "lstm of keras 2": [H, H],
    "stacked cells": [[5, 5], [3], [2, 2], [H]],
}
DIRECTIONS = ("forward", "backward", "concat", "sum", "mul", "ave", None)


@pytest.fixture(autouse=True)
def double():
    register()
    with floats("float64"):
        yield


def wrapped(kind: str, direction: str | None, **settings: Any) -> Any:
    if direction in ("forward", "backward"):
        return KINDS[kind](go_backwards=direction == "backward", **settings)
    settings.pop("zero_output_for_mask", None)
    return layers.Bidirectional(KINDS[kind](**settings), merge_mode=direction)


def everything(kind: str, direction: str | None, masked: bool) -> tuple[keras.Model, list[np.ndarray]]:
    """One model with the layer in every setting of output and states, its weights and inputs random."""
    rng = np.random.default_rng(len(kind))
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(7, 3, mask_zero=masked)(ids)
    sizes = STATES[kind] * (1 if direction in ("forward", "backward") else 2)
    given = keras.tree.map_structure(lambda size: keras.Input((size,)), sizes)
    outputs: list[Any] = []
    for sequences, zero, states in itertools.product((True, False), (True, False), ("none", "out", "in")):
        # Zeros are no setting of both directions, and say nothing without a mask.
        idle = not masked or (direction not in ("forward", "backward") and states != "in")
        if zero and idle and states != "none":
            continue
        settings = {"return_sequences": sequences, "zero_output_for_mask": zero}
        layer = wrapped(kind, direction, return_state=states != "none", **settings)
        options: dict[str, Any] = {"initial_state": given} if states == "in" else {}
        if states == "in" and masked and not zero:
            options["mask"] = keras.ops.not_equal(ids, 0)
        outputs += keras.tree.flatten(layer(x, **options))
    model = keras.Model([ids, *keras.tree.flatten(given)], outputs)
    model.set_weights([rng.normal(size=array.shape) * 0.6 for array in model.get_weights()])
    return model, inputs(model, rng)


def inputs(model: keras.Model, rng: np.random.Generator) -> list[np.ndarray]:
    ids = rng.integers(1, 7, (6, 5)).astype("int32")
    ids[0], ids[1, :2], ids[2, 3:], ids[3, [0, 2]], ids[4, 4] = 0, 0, 0, 0, 0
    return [ids, *(rng.normal(size=(6, value.shape[1])) for value in model.inputs[1:])]


def worst(outputs: Any, exact: Any) -> float:
    assert [array.shape for array in outputs] == [array.shape for array in exact]
    return max(float(np.abs(one - two).max()) for one, two in zip(outputs, exact, strict=True))


# How directions are merged has nothing to do with what they are; each kind is unmasked in one direction.
TABLE = [
    *((kind, direction, True) for kind in KINDS for direction in DIRECTIONS[:3]),
    *((kind, direction, False) for kind, direction in zip(KINDS, itertools.cycle(DIRECTIONS[:3]))),
    *(
        pytest.param("lstm", direction, masked, marks=pytest.mark.sweep)
        for direction in DIRECTIONS[3:]
        for masked in (True, False)
    ),
]


@pytest.mark.cover(1)
@pytest.mark.parametrize("kind, direction, masked", TABLE)
def test_keras_is_what_the_reference_says(kind: str, direction: str | None, masked: bool) -> None:
    model, arrays = everything(kind, direction, masked)
    graph = keras_side.read(model)
    exact = reference.run(graph, arrays)

    assert worst(keras_side.run(model, arrays, graph), exact) < 1e-12
    again = keras_side.write(graph)
    assert worst(keras_side.run(again, arrays, graph), exact) < 1e-12
    assert ops_of(keras_side.read(again)) == ops_of(graph)


def ops_of(graph: Graph) -> dict[str, Any]:
    return {node.name: node.op for node in graph.nodes if node.op.weights()}


def test_a_file_gives_the_graph_of_its_model(tmp_path) -> None:
    """Of every kind in every direction, each in one of the settings in turn."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(7, 3, mask_zero=True)(ids)
    turn = itertools.cycle(itertools.product((True, False), repeat=3))
    outputs = []
    for (kind, direction), flags in zip(itertools.product(KINDS, ("backward", "concat")), turn, strict=False):
        names = "return_sequences", "zero_output_for_mask", "return_state"
        outputs += keras.tree.flatten(wrapped(kind, direction, **dict(zip(names, flags, strict=True)))(x))
    model = keras.Model(ids, outputs)
    model.set_weights([np.random.default_rng(7).normal(size=array.shape) for array in model.get_weights()])
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras") == keras_side.read(model)


@pytest.mark.sweep
@pytest.mark.parametrize("direction", ["backward", "concat"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_graph_of_every_setting(kind: str, direction: str, tmp_path) -> None:
    model, _ = everything(kind, direction, True)
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras") == keras_side.read(model)


def test_an_initial_state_makes_keras_scan_the_padding() -> None:
    # Keras 3.15 hands a layer the mask of its input only where that is its one tensor.
    ids, h = keras.Input((None,), dtype="int32"), keras.Input((H,))
    x = layers.Embedding(7, 3, mask_zero=True)(ids)
    y = layers.GRU(H, return_sequences=True, name="started")(x, initial_state=h)
    model = keras.Model([ids, h], layers.GRU(2, name="after")(y))
    graph = keras_side.read(model)

    assert graph["started"].masks == (None, None)
    assert graph["after"].masks == ("embedding_mask",) or graph["after"].masks[0] is not None
    arrays = [np.array([[0, 3, 0, 0], [1, 2, 5, 0]], "int32"), np.ones((2, H))]
    assert worst(keras_side.run(model, arrays, graph), reference.run(graph, arrays)) < 1e-12


def test_a_backward_layer_of_its_own() -> None:
    rng = np.random.default_rng(3)
    for backward in (layers.GRU(H, go_backwards=True), layers.LSTM(6, go_backwards=True)):
        ids = keras.Input((None,), dtype="int32")
        x = layers.Embedding(7, 3, mask_zero=True)(ids)
        model = keras.Model(ids, layers.Bidirectional(layers.LSTM(H), backward_layer=backward)(x))
        model.set_weights([rng.normal(size=array.shape) * 0.6 for array in model.get_weights()])
        graph = keras_side.read(model)
        arrays = inputs(model, rng)
        exact = reference.run(graph, arrays)
        assert exact[0].shape == (6, H + backward.units)
        assert worst(keras_side.run(model, arrays, graph), exact) < 1e-12
        assert worst(keras_side.run(keras_side.write(graph), arrays, graph), exact) < 1e-12


def test_unrolled_layers_are_read_where_keras_is_right() -> None:
    rng = np.random.default_rng(4)
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 3, mask_zero=True)(ids)
    outputs = [
        layers.GRU(H, unroll=True, return_sequences=True, zero_output_for_mask=True)(x),
        layers.LSTM(H, unroll=True, go_backwards=True, return_sequences=True)(x),
        layers.Bidirectional(layers.SimpleRNN(H, unroll=True))(x),
    ]
    model = keras.Model(ids, outputs)
    model.set_weights([rng.normal(size=array.shape) * 0.6 for array in model.get_weights()])
    graph = keras_side.read(model)
    arrays = inputs(model, rng)
    assert worst(keras_side.run(model, arrays, graph), reference.run(graph, arrays)) < 1e-12


@pytest.mark.parametrize("kind", [layers.GRUCell, layers.SimpleRNNCell])
def test_a_stack_of_one_cell_is_the_layer_of_that_cell(kind: Any) -> None:
    x = keras.Input((None, 3))
    model = keras.Model(x, layers.RNN(layers.StackedRNNCells([kind(H)]), go_backwards=True, name="rnn")(x))
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=array.shape) * 0.6 for array in model.get_weights()])
    graph = keras_side.read(model)
    assert isinstance(graph["rnn"].op, ops.Cell)
    arrays = [rng.normal(size=(4, 5, 3)).astype("float32")]
    again = keras_side.write(graph)
    for form in (model, again):
        assert worst(keras_side.run(form, arrays), reference.run(graph, arrays)) < 1e-6
    assert weight_differences(keras_side.read(again), graph) == []


CELLS = {
    "lstm": (lambda: layers.LSTMCell(H, activation="relu"), 2),
    "gru": (lambda: layers.GRUCell(H, reset_after=False), 1),
    "rnn": (lambda: layers.SimpleRNNCell(H), 1),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_as_a_layer_takes_one_step(kind: str, tmp_path) -> None:
    rng = np.random.default_rng(6)
    make, count = CELLS[kind]
    x, given = keras.Input((3,)), [keras.Input((H,)) for _ in range(count)]
    first = layers.Dense(3)
    step = make()
    output, states = step(x, given)
    again, last = step(first(output), states)
    model = keras.Model([x, *given], [output, again, *last])
    model.set_weights([rng.normal(size=array.shape) * 0.6 for array in model.get_weights()])
    graph = keras_side.read(model)
    arrays = [rng.normal(size=(5, value.shape[1])) for value in model.inputs]
    exact = reference.run(graph, arrays)
    assert worst(keras_side.run(model, arrays, graph), exact) < 1e-12
    assert worst(keras_side.run(keras_side.write(graph), arrays, graph), exact) < 1e-12
    model.save(tmp_path / "cell.keras")
    assert keras_side.read(tmp_path / "cell.keras") == graph
    assert graph.parameter_count() == model.count_params()


@pytest.mark.parametrize("state", ["h", "c"])
def test_a_swapped_state_is_found(state: str) -> None:
    model, arrays = everything("lstm", "forward", True)
    graph = keras_side.read(model)
    exact = reference.run(graph, arrays)
    one, two = arrays[1:] if state == "h" else arrays[:0:-1]
    assert worst(keras_side.run(model, [arrays[0], one + (state == "h"), two], graph), exact) > 1e-3
