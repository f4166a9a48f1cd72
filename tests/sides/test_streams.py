"""Models of all frameworks, fed chunk by chunk: those that keep states, and those that are given them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn

import export
import keras_side
import torch_side
from biport import bundle, reference
from biport.decoding import split
from biport.dims import known
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph
from biport.rewrite.states import explicit_states
from biport.streaming import Stream, plan_stream, reference_stream
from testing.models import randomize

N, T, I = 3, 10, 4
CUTS = (3, 4, 4, 8)
"""Chunks of 3, 1, 0, 4 and 2 steps."""
RNG = np.random.default_rng(2)


def parts(x: np.ndarray, axis: int = 1) -> list[np.ndarray]:
    return np.split(x, CUTS, axis)


def fed(stream: Stream, x: np.ndarray, axis: int = 1) -> np.ndarray:
    """The first output for all chunks."""
    with stream:
        return np.concatenate([stream.feed([part])[0] for part in parts(x, axis)], axis=axis)


def in_one_call(graph: Graph, x: np.ndarray, run: Any) -> np.ndarray:
    """The first output, from zeros."""
    shapes = ([N, known(value.shape[1])] for value in graph.inputs[1:])
    dtype = next(value.dtype for value in graph.inputs[1:])
    return run([x, *(np.zeros(shape, dtype) for shape in shapes)])[0]


def masked_ids() -> np.ndarray:
    """Padding on either side, in between, and where a chunk begins."""
    ids = RNG.integers(1, 9, (N, T)).astype("int32")
    ids[0, [0, 3, 4, 5]] = ids[1, 6:9] = ids[2, 2:] = 0
    return ids


@pytest.fixture(scope="module")
def stateful() -> keras.Model:
    """A stateful model over ids with padding."""
    x = keras.Input(batch_shape=(N, None), dtype="int32")
    y = layers.Embedding(9, I, mask_zero=True)(x)
    y = layers.LSTM(3, stateful=True, return_sequences=True, name="lstm")(y)
    return randomize(keras.Model(x, layers.GRU(5, stateful=True, return_sequences=True, name="gru")(y)))


def test_a_stateful_keras_model_and_what_is_ported_of_it(stateful: keras.Model, tmp_path: Path) -> None:
    graph, ids = keras_side.read(stateful, states="explicit"), masked_ids()
    expected = in_one_call(graph, ids, lambda arrays: reference.run(graph, arrays))
    assert np.allclose(fed(keras_side.stream(stateful), ids), expected, atol=1e-6)
    bundle.write(graph, tmp_path / "b")
    module = torch_side.write(bundle.read(tmp_path / "b"))
    assert np.allclose(fed(torch_side.stream(module), ids), expected, atol=1e-6)
    double = torch_side.double(module)
    assert np.allclose(fed(torch_side.stream(double), ids), expected, rtol=0, atol=1e-15)
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    given = fed(session.stream(), ids)
    assert np.array_equal(given, in_one_call(graph, ids, session.run))
    assert np.allclose(given, expected, atol=1e-6)
    with pytest.raises(InputError, match=r"ids should be in \[0, 9\), found 9"):
        session.stream().feed([np.full((1, 1), 9)])


@pytest.mark.parametrize(
    "kind",
    [
        layers.LSTM,
        pytest.param(layers.GRU, marks=pytest.mark.sweep),
        pytest.param(layers.SimpleRNN, marks=pytest.mark.sweep),
    ],
)
def test_keras_in_float64_gives_the_same_bits(kind: Any) -> None:
    x = keras.Input(batch_shape=(N, None, I), dtype="float64")
    model = keras.Model(x, kind(3, stateful=True, return_sequences=True, dtype="float64")(x))
    randomize(model)
    features = RNG.normal(size=(N, T, I))
    before = model.predict_on_batch(features)
    model.layers[1].reset_state()
    assert np.array_equal(fed(keras_side.stream(model), features), before)
    assert not any(np.any(np.asarray(state)) for state in model.layers[1].states)


class Tagger(nn.Module):
    """Time-major, with the states of two layers in one tensor each, as torch has them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, I)
        self.rnn = nn.LSTM(I, 3, num_layers=2)
        self.out = nn.Linear(3, 2)

    def forward(self, ids: torch.Tensor, hx: tuple[torch.Tensor, torch.Tensor]) -> Any:
        y, hx = self.rnn(self.embed(ids), hx)
        return self.out(y), hx


class Step(nn.Module):
    """One step of a cell: no axis for the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(I, 3)

    def forward(self, x: torch.Tensor, hx: torch.Tensor) -> Any:
        hx = self.cell(x, hx)
        return torch.tanh(hx), hx


@pytest.mark.sweep
def test_modules_whose_states_are_arguments(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, h = Tagger().double().eval(), torch.zeros(2, N, 3, dtype=torch.float64)
    ids = RNG.integers(0, 9, (T, N))
    with torch.no_grad():
        expected = module(torch.tensor(ids), (h, h))[0].numpy()
    example = (torch.ones(5, N, dtype=torch.long), (h, h))
    stream = torch_side.stream(module, example)
    assert [value.name for value in stream.inputs] == ["ids"]
    assert np.allclose(fed(stream, ids, axis=0), expected, rtol=0, atol=1e-15)
    export.write(torch_side.read(module, example).astype("float32"), tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    assert np.allclose(fed(session.stream(), ids, axis=0), expected, atol=1e-6)
    step, x = Step().eval(), RNG.normal(size=(T, N, I)).astype("float32")
    stream = torch_side.stream(step, (torch.zeros(N, I), torch.zeros(N, 3)))
    given = [stream.feed([part])[0] for part in x]
    hx = torch.zeros(N, 3)
    with torch.no_grad():
        for part, output in zip(x, given, strict=True):
            y, hx = step(torch.tensor(part), hx)
            assert np.allclose(output, y.numpy(), atol=1e-6)


def decoder() -> keras.Model:
    """A functional decoder that attends to what an encoder gave, its states inputs and outputs."""
    x, memory = keras.Input((None, I), name="x"), keras.Input((None, 3), name="memory")
    h, c = keras.Input((3,), name="h"), keras.Input((3,), name="c")
    lstm = layers.LSTM(3, return_sequences=True, return_state=True)
    y, *after = lstm(x, initial_state=[h, c])
    context = layers.Attention()([y, memory])
    return randomize(keras.Model([x, memory, h, c], [layers.Concatenate()([y, context]), *after]))


def test_a_decoder_that_is_given_its_states(tmp_path: Path) -> None:
    model = decoder()
    shapes = (N, T, I), (N, 5, 3), (N, 3), (N, 3)
    x, memory, h, c = (RNG.normal(size=shape).astype("float32") for shape in shapes)
    expected = keras_side.run(model, [x, memory, h, c])[0]
    graph = keras_side.read(model)
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    for stream in (
        keras_side.stream(model, initial={"h": h, "c": c}),
        session.stream(initial={"h": h, "c": c}),
        reference_stream(graph, initial={"h": h, "c": c}),
    ):
        assert stream.plan.chunked == ("x",)
        given = [stream.feed({"memory": memory, "x": part})[0] for part in parts(x)]
        assert np.allclose(np.concatenate(given, axis=1), expected, atol=1e-6)


@pytest.mark.sweep
def test_the_step_of_a_split_decoder_is_a_stream(tmp_path: Path) -> None:
    source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    table = layers.Embedding(9, I)
    h = layers.GRU(3)(table(source))
    y = layers.GRU(3, return_sequences=True)(table(target), initial_state=h)
    model = randomize(keras.Model([source, target], layers.Dense(9, "softmax")(y)))
    ids = RNG.integers(0, 9, (N, T)).astype("int32")
    expected = keras_side.run(model, [ids, ids])[0]
    halves = split(keras_side.read(model))
    export.write(halves.step, tmp_path / "step.onnx")
    (state,) = reference.run(halves.encoder, [ids], "float32")
    session = export.Session(tmp_path / "step.onnx", device="cpu")
    (name,) = plan_stream(halves.step).states
    stream = session.stream(initial={name: state})
    given = np.concatenate([stream.feed([ids[:, t : t + 1]])[0] for t in range(T)], axis=1)
    assert np.allclose(given, expected, atol=1e-6)


def test_files_say_why_chunks_matter_to_them(tmp_path: Path) -> None:
    x = keras.Input((None, I))
    both = keras.Model(x, layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(x))
    once = keras.Model(x, layers.GRU(3, return_sequences=True, name="once")(x))
    reasons = "'both' (Bidirectional): direction=", "'once' (GRU): initial_state="
    for model, message in zip((both, once), reasons, strict=True):
        export.write(keras_side.read(model), tmp_path / "m.onnx", overwrite=True)
        session = export.Session(tmp_path / "m.onnx", device="cpu")
        with pytest.raises(UnsupportedError) as refused:
            session.stream()
        assert message in str(refused.value)
    graph = explicit_states(keras_side.read(once))
    export.write(graph, tmp_path / "m.onnx", overwrite=True)
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    features = RNG.normal(size=(N, T, I)).astype("float32")
    expected = keras_side.run(once, [features])[0]
    assert np.allclose(fed(session.stream(), features), expected, atol=1e-6)
    for damage in ('"r"', '"chunked"', "}", "once.h"):
        broken = export.Session(tmp_path / "m.onnx", device="cpu")
        broken.metadata["biport.stream"] = broken.metadata["biport.stream"].replace(damage, "[")
        if broken.metadata != session.metadata:
            with pytest.raises(FileError, match="its biport metadata cannot be read"):
                broken.stream()
    del session.metadata["biport.stream"]
    with pytest.raises(UnsupportedError, match="states=None"):
        session.stream()
    assert np.allclose(fed(session.stream(states={"once.h": "once.h_next"}), features), expected, atol=1e-6)
    with pytest.raises(InputError, match="should be an input and an output"):
        session.stream(states={"h": "once.h_next"})


class Mixed(layers.Layer):
    """A cell of somebody's own: what it keeps beside its output decays."""

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units, self.state_size = units, [units, units]

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        h, kept = states[0], states[1]
        h: Any = keras.ops.tanh(x @ self.kernel + h @ self.recurrent)
        kept = 0.9 * kept + 0.1 * h
        return h + kept, [h, kept]


@pytest.mark.sweep
def test_a_stateful_layer_around_a_cell_of_ones_own(tmp_path: Path) -> None:
    x = keras.Input(batch_shape=(2, None, I))
    y = layers.RNN(Mixed(3), stateful=True, return_sequences=True, name="own")(x)
    model = randomize(keras.Model(x, y))
    graph = keras_side.read(model, states="explicit")
    assert len(plan_stream(graph).states) == 2
    features = RNG.normal(size=(N, T, I)).astype("float32")
    expected = in_one_call(graph, features, lambda arrays: keras_side.run(model, arrays, graph))
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    for stream in (keras_side.stream(model), session.stream()):
        assert np.allclose(fed(stream, features), expected, atol=1e-6)


KINDS: Any = {
    "LSTM": lambda settings: layers.LSTM(5, **settings),
    "GRU": lambda settings: layers.GRU(5, **settings),
    "GRU before": lambda settings: layers.GRU(5, reset_after=False, **settings),
    "SimpleRNN": lambda settings: layers.SimpleRNN(5, **settings),
    "stack": lambda settings: layers.RNN([layers.LSTMCell(3), layers.GRUCell(5)], **settings),
}


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequences", [True, False], ids=["steps", "last"])
@pytest.mark.parametrize("zero", [False, True], ids=["repeat", "zero"])
@pytest.mark.parametrize("source", ["ids", "features", "plain"])
def test_chunks_of_onnx_files(kind: str, sequences: bool, zero: bool, source: str, tmp_path: Path) -> None:
    rules = {"stateful": True, "zero_output_for_mask": zero}
    x = keras.Input(batch_shape=(2, None), dtype="int32") if source == "ids" else keras.Input((None, I), 2)
    front = {
        "ids": [layers.Embedding(9, I, mask_zero=True)],
        "features": [layers.Masking(0.125)],
        "plain": [],
    }
    y = x
    for layer in (
        *front[source],
        KINDS[kind](rules | {"return_sequences": True}),
        KINDS[kind](rules | {"return_sequences": sequences}),
        layers.LayerNormalization(),
    ):
        y = layer(y)
    graph = keras_side.read(randomize(keras.Model(x, y)), states="explicit")
    given = RNG.normal(size=(4, T, I)).astype("float32")
    padding: Any = 0.125
    if source == "ids":
        given, padding = RNG.integers(1, 9, (4, T)).astype("int32"), 0
    given[0, 3:8] = given[1, :5] = given[2, 6:] = given[3] = padding
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    whole = session.run([given, *(np.zeros((4, known(v.shape[1])), "float32") for v in graph.inputs[1:])])[0]
    for _ in range(4):
        cuts = np.sort(RNG.integers(0, T + 1, 4))
        with session.stream() as stream:
            outputs = [stream.feed([part])[0] for part in np.split(given, cuts, axis=1)]
        assert np.allclose(np.concatenate(outputs, axis=1) if sequences else outputs[-1], whole, atol=1e-6)
