"""Live Keras models with recurrent layers of every kind: both ONNX routes compute what Keras does."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from pathlib import Path

import numpy as np
import pytest

import export
import keras_side
from biport import verify
from biport.errors import InputError
from testing.models import every_mask
from testing.onnx_graphs import H, I, V

keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")
layers = keras.layers

pytestmark = pytest.mark.usefixtures("fewer_steps")


def cells() -> list:
    return [layers.LSTMCell(4), layers.GRUCell(2), layers.SimpleRNNCell(H)]


LAYERS = {
    "lstm": lambda **how: layers.LSTM(H, **how),
    "gru": lambda **how: layers.GRU(H, **how),
    "gru, reset before": lambda **how: layers.GRU(H, reset_after=False, **how),
    "rnn": lambda **how: layers.SimpleRNN(H, **how),
    "one cell": lambda **how: layers.RNN(layers.GRUCell(H), **how),
    "stack": lambda **how: layers.RNN(cells(), **how),
    "silu": lambda **how: layers.GRU(H, activation="silu", recurrent_activation="hard_sigmoid", **how),
    "softmax": lambda **how: layers.LSTM(H, recurrent_activation="softmax", **how),
}
TRACED = ("gru", "rnn", "stack")
STATES = {"lstm": [[H, H]], "softmax": [[H, H]], "stack": [[4, 4], [2], [H]]}


def randomised(model):
    rng = np.random.default_rng(4)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def embedded(masked: bool = True):
    ids = keras.Input((None,), dtype="int32", name="ids")
    return ids, layers.Embedding(V, I, mask_zero=masked, name="table")(ids)


def routes(model, folder: Path, traced: bool = True) -> list[Path]:
    """The model checked on the fused route and, which takes long, if ``traced`` on the other; the files."""
    paths = [folder / "fused.onnx", *([folder / "tf2onnx.onnx"] if traced else [])]
    graph = keras_side.read(model)
    export.write(graph, paths[0])
    if traced:
        export.write_tf2onnx(model, paths[1])
    for report in (verify(model, *paths, inputs=every_mask(graph)), verify(graph, *paths)):
        assert report.ok, report.table
    return paths


@pytest.mark.cover(2)
@pytest.mark.parametrize(("masked", "backwards"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("kind", LAYERS)
def test_sequences_and_states(kind, masked, backwards, tmp_path):
    ids, x = embedded(masked)
    layer = LAYERS[kind](return_sequences=True, return_state=True, go_backwards=backwards, name="it")
    y, *states = layer(x)
    last = layers.LSTM(2, name="last")(y)
    traced = masked and not backwards and kind in TRACED
    paths = routes(randomised(keras.Model(ids, [y, last, *states])), tmp_path, traced)
    sizes = [H, *(size for group in STATES.get(kind, [[H]]) for size in group)]
    for path in paths:
        session = export.Session(path, device="cpu", threads=1)
        assert session.output_names == ["it:0", "last", *(f"it:{number}" for number in range(1, len(sizes)))]
        outputs = session.run([np.zeros((0, 7), "int32")])
        assert [a.shape for a in outputs] == [(0, 7, H), (0, 2), *((0, size) for size in sizes[1:])]


@pytest.mark.parametrize("kind", LAYERS)
def test_initial_states(kind, tmp_path):
    ids, x = embedded()
    groups = STATES.get(kind, [[H]])
    names = iter("abcdefg")
    given = [[keras.Input((size,), name=next(names)) for size in group] for group in groups]
    flat = [state for group in given for state in group]
    layer = LAYERS[kind](return_state=True, name="it")
    outputs = layer(x, initial_state=given if len(given) > 1 else flat if len(flat) > 1 else flat[0])
    fused, *others = routes(randomised(keras.Model([ids, *flat], outputs)), tmp_path, kind in TRACED)
    states = [np.full((2, int(size)), 0.5, "float32") for group in groups for size in group]
    # No steps: the fused route gives the initial states, the other one says that it cannot.
    y, *outputs = export.Session(fused, "cpu").run([np.zeros((2, 0), "int32"), *states])
    assert not y.any()
    assert all((one == two).all() for one, two in zip(outputs, states, strict=True))
    for other in others:
        with pytest.raises(InputError, match="not defined"):
            export.Session(other, "cpu").run([np.zeros((2, 0), "int32"), *states])


@pytest.mark.parametrize(
    ("merge", "sequences"), [pytest.param("concat", True, marks=pytest.mark.sweep), ("ave", False)]
)
@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind not in ("one cell", "stack")])
def test_both_directions(kind, merge, sequences, tmp_path):
    ids, x = embedded()
    layer = LAYERS[kind](return_sequences=sequences, name="half")
    outputs = keras.tree.flatten(layers.Bidirectional(layer, merge_mode=merge, name="it")(x))
    routes(randomised(keras.Model(ids, outputs)), tmp_path, sequences and kind in TRACED)


@pytest.mark.sweep
def test_an_encoder_and_a_decoder(tmp_path):
    ids, x = embedded()
    target = keras.Input((None, 2), name="target")
    _, *states = layers.GRU(H, return_state=True, name="encoder")(x)
    y = layers.GRU(H, return_sequences=True, name="decoder")(target, initial_state=states)
    model = randomised(keras.Model([ids, target], [layers.Dense(2, name="head")(y), *states]))
    for path in routes(model, tmp_path):
        session = export.Session(path, device="cpu", threads=1)
        assert [value.shape for value in session.input_values] == [("N", "T"), ("N", "T_2", 2)]
        ids, target = np.zeros((3, 4), "int32"), np.ones((3, 6, 2), "float32")
        wanted = model([ids, target])
        for one, two in zip(wanted, session.run([ids, target]), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)
