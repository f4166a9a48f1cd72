"""One-way models made bidirectional: what they compute, what they weigh, and on which sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import export
import keras_side
import torch_side
from biport import ops, reference
from biport.app.cli import app
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, weight_differences
from biport.rewrite.bidirectional import bidirect
from testing.models import randomize

CELLS = {
    "LSTM": layers.LSTM,
    "GRU": layers.GRU,
    "GRU before": lambda size, **options: layers.GRU(size, reset_after=False, **options),
    "SimpleRNN": layers.SimpleRNN,
    "no bias": lambda size, **options: layers.LSTM(size, use_bias=False, **options),
}


def stacked(cell: Any, masked: bool = True) -> keras.Model:
    """A classifier of two layers, 6 -> 3, ids to 10 classes."""
    return randomize(
        keras.Sequential([
            keras.Input((None,), dtype="int32"),
            layers.Embedding(13, 5, mask_zero=masked),
            cell(6, return_sequences=True, name="first"),
            layers.Dropout(0.2),
            cell(3, name="second"),
            layers.Dense(10, activation="softmax"),
        ])
    )  # fmt: skip


def every_follower() -> keras.Model:
    """Whatever may stand behind a widened layer."""
    x = keras.Input((8, 4), name="features")
    a = layers.LSTM(3, return_sequences=True, name="a")(x)
    b = layers.GRU(2, return_sequences=True, name="b")(layers.BatchNormalization()(a))
    joined = layers.Concatenate()([a, x, b])
    joined = layers.Activation("tanh")(layers.PReLU(shared_axes=[1])(joined))
    convolved = layers.Conv1D(5, 2)(joined)
    heads = layers.MultiHeadAttention(2, 3)(convolved, joined, b)
    both = layers.Bidirectional(layers.SimpleRNN(3))(joined)
    cells = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)]))(layers.Add()([a, a]))
    steps = layers.TimeDistributed(layers.Dense(2))(layers.LeakyReLU()(b))
    pools = [layers.GlobalMaxPooling1D()(b), layers.GlobalAveragePooling1D()(layers.MaxPooling1D(2)(joined))]
    flat = [layers.Flatten()(value) for value in (heads, steps, layers.UpSampling1D(2)(b))]
    return randomize(keras.Model(x, layers.Dense(3)(layers.Concatenate()([both, cells, *pools, *flat]))))


def ids(rng: np.random.Generator) -> np.ndarray:
    """Rows with padding at the right, at the left, in holes, everywhere and nowhere."""
    rows = rng.integers(1, 13, (5, 7)).astype("int32")
    rows[0, 4:] = rows[1, :3] = rows[2, [0, 3, 5]] = rows[3] = 0
    return rows


def difference(one: Graph, two: Graph, inputs: np.ndarray) -> float:
    (a,), (b,) = (reference.run(graph.astype("float64"), [inputs]) for graph in (one, two))
    return float(np.abs(a - b).max())


@pytest.mark.cover(1)
@pytest.mark.parametrize("init", ["copy", "fresh"])
@pytest.mark.parametrize("cell", CELLS)
def test_side_by_side_it_computes_what_it_did(cell: str, init: str) -> None:
    graph = keras_side.read(stacked(CELLS[cell]))
    made = bidirect(graph, init=init)
    assert difference(graph, made.graph, ids(np.random.default_rng(0))) < 1e-12
    for name in ("first", "second"):
        old, new = graph[name].op, made.graph[name].op
        assert isinstance(new, ops.Bidirectional)
        assert isinstance(old, ops.Cell)
        recurrent = {path: array for path, array in old.weights().items() if not path.startswith("weight_ih")}
        assert all(
            np.array_equal(new.weights()[f"forward.{path}"], array) for path, array in recurrent.items()
        )
        copied = all(
            np.array_equal(new.weights()[f"backward.{path}"], array) for path, array in recurrent.items()
        )
        assert copied is (init == "copy")
    op = made.graph["second"].op
    assert isinstance(op, ops.Bidirectional)
    assert isinstance(op.backward, ops.Cell)
    for kernel in op.backward.weight_ih.values():
        assert kernel.shape == (3, 12)
        assert kernel[:, :6].any()
        # New weights are new for both halves of the layer below, copied ones leave the backward half out.
        assert bool(kernel[:, 6:].any()) is (init == "fresh")


@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_whatever_follows(init: str) -> None:
    graph = keras_side.read(every_follower())
    made = bidirect(graph, init=init)
    inputs = np.random.default_rng(1).normal(size=(3, 8, 4)).astype("float32")
    assert difference(graph, made.graph, inputs) < 1e-12
    assert sorted(made.layers) == ["a", "b"]
    # Once the new weights are more than zero, the backward halves count.
    inputs[:, -1] += 1
    mirrored = bidirect(graph, init="mirror").graph
    assert difference(graph, mirrored, inputs) > 1e-3


def palindromes(rng: np.random.Generator) -> np.ndarray:
    half = rng.integers(1, 13, (4, 3)).astype("int32")
    return np.concatenate([half, half[:, ::-1]], axis=1)


@pytest.mark.cover(1)
@pytest.mark.parametrize(
    ("merge", "init"), [("concat", "mirror"), ("sum", "mirror"), ("ave", "copy"), ("ave", "mirror")]
)
@pytest.mark.parametrize("cell", CELLS)
def test_what_reads_the_same_backwards_is_computed_as_before(cell: str, merge: str, init: str) -> None:
    """The mean of both directions, where they are equal."""
    graph = keras_side.read(stacked(CELLS[cell]))
    made = bidirect(graph, merge=merge, init=init, layers=["second"])
    # The layer below walks one way: what the second reads is no palindrome, but of one step it is.
    rng = np.random.default_rng(0)
    assert difference(graph, made.graph, ids(rng)[:, :1]) < 1e-12
    assert difference(graph, made.graph, ids(rng)) > 1e-3
    first = bidirect(graph, merge=merge, init=init).graph
    assert difference(first, first, palindromes(rng)) == 0
    single = keras_side.read(
        randomize(keras.Sequential([
            keras.Input((None,), dtype="int32"),
            layers.Embedding(13, 5, mask_zero=True),
            CELLS[cell](3),
            layers.Dense(1),
        ]))
    )  # fmt: skip
    assert difference(single, bidirect(single, merge=merge, init=init).graph, palindromes(rng)) < 1e-12


@pytest.mark.parametrize("merge", ["sum", "ave", "mul"])
def test_other_merges_keep_the_shapes(merge: str) -> None:
    graph = keras_side.read(stacked(layers.LSTM))
    made = bidirect(graph, merge=merge)
    assert {name: t.shape for name, t in made.graph.tensors.items()} == {
        name: t.shape for name, t in graph.tensors.items()
    }
    assert made.graph.parameter_count() == graph.parameter_count() + sum(
        array.size for name in ("first", "second") for array in graph[name].op.weights().values()
    )
    assert f"merged by {merge}" in str(made)


@pytest.mark.parametrize(
    ("cell", "init"),
    [
        *(("LSTM", "copy"), ("GRU", "mirror"), ("SimpleRNN", "fresh")),
        *(
            pytest.param(cell, init, marks=pytest.mark.sweep)
            for cell in ("GRU before", "no bias")
            for init in ("copy", "mirror", "fresh")
        ),
    ],
)
def test_converting_and_porting_commute(cell: str, init: str) -> None:
    model = stacked(CELLS[cell])
    graph = keras_side.read(model)
    ported_then = torch_side.read(torch_side.bidirect(torch_side.write(graph), init=init, seed=4))
    then_ported = torch_side.read(torch_side.write(bidirect(graph, init=init, seed=4).graph))
    assert weight_differences(ported_then, then_ported) == []
    assert ported_then == then_ported
    converted = keras_side.bidirect(model, init=init, seed=4)
    assert weight_differences(keras_side.read(converted), bidirect(graph, init=init, seed=4).graph) == []
    x = ids(np.random.default_rng(3))
    (truth,) = reference.run(bidirect(graph, init=init, seed=4).graph, [x])
    np.testing.assert_allclose(keras_side.run(converted, [x])[0], truth, atol=1e-6)


def test_some_layers_only_and_a_bare_one(tmp_path: Path) -> None:
    graph = keras_side.read(stacked(layers.GRU))
    made = bidirect(graph, layers=["first"])
    assert isinstance(made.graph["first"].op, ops.Bidirectional)
    assert isinstance(made.graph["second"].op, ops.GRU)
    bare = keras_side.read(randomize(keras.Sequential([keras.Input((None, 4)), layers.LSTM(3)])))
    wide = bidirect(bare)
    assert "is 6 wide, it was 3" in str(wide)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    (old,), (new,) = reference.run(bare, [x]), reference.run(wide.graph, [x])
    assert np.array_equal(new[:, :3], old)
    export.write(wide.graph, tmp_path / "wide.onnx")
    np.testing.assert_allclose(export.Session(tmp_path / "wide.onnx").run([x])[0], new, atol=1e-6)


def test_fresh_weights_hang_on_the_seed_and_the_layer_alone() -> None:
    graph = keras_side.read(stacked(layers.LSTM))
    one, again = bidirect(graph, init="fresh", seed=1).graph, bidirect(graph, init="fresh", seed=1).graph
    assert one == again
    other = bidirect(graph, init="fresh", seed=2).graph
    alone = bidirect(graph, init="fresh", seed=1, layers=["first"]).graph
    assert one["first"].op == alone["first"].op
    assert one["first"].op != other["first"].op
    weights = one["first"].op.weights()
    assert (weights["backward.bias_ih.f"] == 1).all()
    assert not weights["backward.bias_ih.i"].any()
    stack = np.concatenate([weights[f"backward.weight_hh.{gate}"] for gate in "ifco"])
    np.testing.assert_allclose(stack.T @ stack, np.eye(6), atol=1e-6)


def refused(which: str) -> keras.Model:
    x = keras.Input((6, 4))
    y = layers.LSTM(3, return_sequences=True, name="lstm", go_backwards=which == "go_backwards")(x)
    culprits = {
        "normalised": lambda: layers.LayerNormalization(name="culprit")(y),
        "softmax": lambda: layers.Softmax(name="culprit")(y),
        "dot": lambda: layers.Dot((2, 2), name="culprit")([y, y]),
        "attention": lambda: layers.Attention(name="culprit")([y, y]),
        "added to the input": lambda: layers.Add(name="culprit")([y, layers.Dense(3)(x)]),
        "reshaped": lambda: layers.Reshape((9, 2), name="culprit")(y),
        "groups": lambda: layers.Conv1D(3, 2, groups=3, name="culprit")(y),
        "state": lambda: layers.GRU(3, name="culprit")(x, initial_state=layers.LSTM(3, name="below")(x)),
        "go_backwards": lambda: y,
    }
    return keras.Model(x, culprits[which]())


@pytest.mark.parametrize(
    ("which", "words"),
    [
        *((which, "'culprit'") for which in ("normalised", "softmax", "dot", "attention")),
        *((which, "'culprit'") for which in ("added to the input", "reshaped", "groups", "state")),
        ("go_backwards", "'lstm' .*go_backwards=True"),
    ],
)
def test_what_cannot_be_widened_is_refused_by_name(which: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        bidirect(keras_side.read(refused(which)))


def test_states_and_shared_weights() -> None:
    x = keras.Input((6, 4))
    y, h, _ = layers.LSTM(3, return_sequences=True, return_state=True, name="lstm")(x)
    graph = keras_side.read(randomize(keras.Model(x, y)))
    array = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    (new,) = reference.run(bidirect(graph).graph, [array])
    assert np.array_equal(new[..., :3], reference.run(graph, [array])[0])
    with pytest.raises(UnsupportedError, match=r"'lstm' .*return_state"):
        bidirect(keras_side.read(keras.Model(x, [y, h])))
    shared = layers.Dense(2, name="shared")
    two = keras.Model(x, [shared(y), shared(layers.Dense(3)(x))])
    with pytest.raises(UnsupportedError, match="shared with"):
        bidirect(keras_side.read(two))
    twice = layers.Dense(2, name="shared")
    z = layers.LSTM(3, return_sequences=True)(x)
    both = keras_side.read(randomize(keras.Model(x, [twice(y), twice(z)])))
    made = bidirect(both).graph
    assert made["shared"].op is next(
        node.op for node in made.nodes if node.name.startswith("shared") and node.name != "shared"
    )
    for a, b in zip(reference.run(both, [array]), reference.run(made, [array]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{"merge": "max"}, {"init": "zeros"}, {"merge": "mul", "init": "mirror"}, {"layers": ["nobody"]}],
)
def test_options_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        bidirect(keras_side.read(stacked(layers.LSTM)), **options)


@pytest.mark.sweep
def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    stacked(layers.LSTM).save(path)
    run = CliRunner().invoke
    shown = run(app, ["bidirect", str(path), "-o", str(tmp_path / "both.keras")])
    assert shown.exit_code == 0, shown.output
    assert "* first" in shown.output
    assert "Bidirectional(LSTM)" in shown.output
    options = ["--layers", "second", "--init", "fresh", "--merge", "sum", "--json"]
    found = run(app, ["bidirect", str(path), "-o", str(tmp_path / "both"), *options])
    assert found.exit_code == 0, found.output
    data = json.loads(found.output)
    assert data["layers"] == ["second"]
    assert data["parameters"]["after"] == torch_side.read_folder(tmp_path / "both").parameter_count()
    assert run(app, ["bidirect", str(path), "-o", str(tmp_path / "both.keras")]).exit_code == 2
    assert run(app, ["bidirect", str(path), "-o", str(path)]).exit_code == 2
    assert run(app, ["bidirect", str(path), "-o", str(tmp_path / "x.onnx"), "--merge", "max"]).exit_code == 2
    graph = keras_side.read(path)
    assert difference(graph, keras_side.read(tmp_path / "both.keras"), ids(np.random.default_rng(0))) < 1e-12
