"""Stateful layers: read as states that go in and out, or as zeros, and run without leaving a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import biport
import keras_side
from biport import reference
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph
from testing.keras_models import randomize

ROWS = 2


def stateful_tagger() -> keras.Model:
    """Two kinds of layers, a stack among them, over masked ids; of 2 rows."""
    stack = layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)])
    return randomize(
        keras.Sequential(
            [
                keras.Input(batch_shape=(ROWS, None), dtype="int32"),
                layers.Embedding(9, 4, mask_zero=True, name="embedding"),
                layers.LSTM(3, stateful=True, return_sequences=True, name="lstm"),
                layers.RNN(stack, stateful=True, name="stack"),
                layers.Dense(1, name="dense"),
            ]
        )
    )


def kept(model: keras.Model) -> list[np.ndarray]:
    """The states that a model is in."""
    found = [layer.states for layer in model.layers if getattr(layer, "stateful", False)]
    return [np.asarray(variable).copy() for variable in keras.tree.flatten(found)]


def inputs_of(graph: Graph) -> list[np.ndarray]:
    """Rows that are no multiple of the model's: ids with padding on both sides and in between, and states."""
    shapes = {"N": 2 * ROWS + 1, "T": 5}
    rng = np.random.default_rng(0)
    arrays = []
    for value in graph.inputs:
        shape = [dim if isinstance(dim, int) else shapes[str(dim)] for dim in value.shape]
        array = rng.normal(size=shape) if value.dtype.startswith("float") else rng.integers(0, 3, shape)
        arrays.append(array.astype(value.dtype))
    return arrays


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return stateful_tagger()


def test_states_are_inputs_and_outputs_by_the_names_of_their_layers(model: keras.Model) -> None:
    graph = keras_side.read(model, states="explicit")
    states = ["lstm.h", "lstm.c", "stack.0.h", "stack.0.c", "stack.1.h"]
    assert [value.name for value in graph.inputs[1:]] == states
    assert graph.outputs == ("dense", *(f"{name}_next" for name in states))
    assert all(str(value.shape[0]) == "N" for value in graph.inputs)
    without = keras_side.read(model, states="zero")
    assert (len(without.inputs), without.outputs) == (1, ("dense",))


@pytest.mark.parametrize("states", ["explicit", "zero"])
def test_a_live_model_is_run_as_its_graph_says_and_left_in_its_states(
    model: keras.Model, states: str, tmp_path: Path
) -> None:
    model.predict_on_batch(np.ones((ROWS, 3), "int32"))
    before = kept(model)
    model.save(tmp_path / "m.keras")
    graph = keras_side.read(model, states=states)
    assert keras_side.read(tmp_path / "m.keras", states=states) == graph
    report = biport.verify(model, graph, inputs=inputs_of(graph), states=states)
    assert report.ok, report.table
    assert {line.form for line in report.lines} == {"keras", "graph"}
    after = kept(model)
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    assert all(np.any(array) for array in before)


def test_an_error_leaves_the_states_too(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.predict_on_batch(np.ones((ROWS, 3), "int32"))
    before = kept(model)

    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(model.get_layer("stack"), "call", fail)
    with pytest.raises(RuntimeError, match="no"):
        keras_side.run(model, [np.ones((3, 2), "int32")], keras_side.read(model, states="zero"))
    assert all(np.array_equal(one, two) for one, two in zip(before, kept(model), strict=True))


def test_what_a_live_model_gives_inside_is_seen_for_all_rows(model: keras.Model) -> None:
    graph = keras_side.read(model, states="explicit")
    arrays = inputs_of(graph)
    seen = keras_side.trace(model, {"case": arrays}, graph).values["case"]
    expected = reference.trace(graph, arrays)
    assert {"embedding", "dense"} <= seen.keys()
    for name, array in seen.items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-6, err_msg=name)


def functional(layer: Any, shape: tuple[int, ...] = (5, 3), calls: int = 1) -> keras.Model:
    x = y = keras.Input(batch_shape=(ROWS, *shape))
    for _ in range(calls):
        y = layer(y)
    return keras.Model(x, y)


REFUSED = {
    "both directions": (lambda: functional(layers.Bidirectional(layers.GRU(2, stateful=True))), "explicit"),
    "backwards": (lambda: functional(layers.GRU(2, stateful=True, go_backwards=True)), "explicit"),
    "at every step": (
        lambda: functional(layers.TimeDistributed(layers.GRU(2, stateful=True)), (4, 5, 3)),
        "zero",
    ),
    "called twice": (
        lambda: functional(layers.GRU(3, stateful=True, return_sequences=True), calls=2),
        "zero",
    ),
}


@pytest.mark.parametrize("make, states", REFUSED.values(), ids=REFUSED)
def test_what_no_states_go_in_and_out_of_is_refused(make: Any, states: str) -> None:
    with pytest.raises(UnsupportedError, match="stateful=True") as refused:
        keras_side.read(make(), states=states)
    assert "states='" not in str(refused.value)


def test_without_a_choice_both_are_offered(model: keras.Model) -> None:
    with pytest.raises(UnsupportedError, match=r"states='explicit' reads .* states='zero' as zeros"):
        keras_side.read(model)
    with pytest.raises(InputError, match="states='none': should be one of explicit, zero"):
        keras_side.read(model, states="none")


@pytest.mark.sweep
def test_given_states_are_read_as_given_and_both_directions_as_zeros() -> None:
    x, h = keras.Input(batch_shape=(ROWS, 5, 3)), keras.Input(batch_shape=(ROWS, 4))
    given = randomize(keras.Model([x, h], layers.GRU(4, stateful=True)(x, initial_state=h)))
    graph = keras_side.read(given, states="explicit")
    assert (len(graph.inputs), len(graph.outputs)) == (2, 1)
    assert biport.verify(given, graph, inputs=inputs_of(graph), states="explicit").ok
    both = layers.Bidirectional(layers.GRU(4, stateful=True))
    model = randomize(functional(both))
    graph = keras_side.read(model, states="zero")
    assert biport.verify(model, graph, inputs=inputs_of(graph), states="zero").ok


@pytest.mark.sweep
@pytest.mark.parametrize("states", ["explicit", "zero"])
def test_under_every_pattern_of_mask_and_written_again(
    model: keras.Model, states: str, fewer_steps: None
) -> None:
    graph = keras_side.read(model, states=states)
    assert biport.verify(model, keras_side.write(graph), states=states, float64=True).ok
