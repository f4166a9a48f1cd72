# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
# pyright: reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false
"""Code of a user's own, live and handed over for a file: what is read of it computes what it does."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_side
import testing.frameworks  # noqa: F401
from biport import reference
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph
from biport.ops import Dense, Parameter, Scan

pytestmark = pytest.mark.filterwarnings(
    "ignore:Layer '.*' .of type .* was passed an input with a mask attached to it:UserWarning"
)
V, E, U = 9, 4, 3


class AdditiveAttention(layers.Layer):
    """Scores of its own weights, softmax over the steps, and the weighted sum."""

    def __init__(self, units: int = U, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.supports_masking = True

    def build(self, shape: Any) -> None:
        self.W = self.add_weight(name="W", shape=(shape[-1], self.units))
        self.b = self.add_weight(name="b", shape=(self.units,), initializer="uniform")
        self._u = self.add_weight(name="u", shape=(self.units,))

    def call(self, x: Any, mask: Any = None) -> Any:
        scores = ops.sum(ops.tanh(ops.matmul(x, self.W) + self.b) * self._u, axis=-1)
        if mask is not None:
            scores = ops.where(mask, scores, -1e9)
        return ops.einsum("nt,nti->ni", ops.softmax(scores), x)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Block(layers.Layer):
    """Layers inside of lists and mappings, one called twice, and masks that go on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.norm = layers.LayerNormalization()
        self.parts = [layers.Dense(E, activation="relu"), layers.Dense(E)]
        self.named = {"rnn": layers.LSTM(E, return_sequences=True)}
        self.supports_masking = True

    def call(self, x: Any) -> Any:
        y = self.norm(self.named["rnn"](self.norm(x)))
        for part in self.parts:
            y = part(y)
        return x + y


class Gate(layers.Layer):
    """A cell: an RNN whose state passes by with a share of its own."""

    def __init__(self, units: int = U, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units
        self.inner = layers.Dense(units, activation="tanh")

    def build(self, shape: Any) -> None:
        self.inner.build((None, shape[-1] + self.units))
        self.share = self.add_weight(name="share", shape=(self.units,), initializer="uniform")

    def call(self, x: Any, states: Any) -> Any:
        (h,) = states
        keep = ops.sigmoid(self.share)
        h = keep * h + (1 - keep) * self.inner(ops.concatenate([x, h], axis=-1))
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Tagger(keras.Model):
    """A subclassed model: masks, a custom layer, lists of outputs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.embedding = layers.Embedding(V, E, mask_zero=True)
        self.encoder = layers.Bidirectional(layers.GRU(2, return_sequences=True))
        self.block = Block()
        self.pool = AdditiveAttention()
        self.heads = [layers.Dense(2), layers.Dense(3, activation="softmax")]

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.block(self.encoder(self.embedding(inputs)), training=training)
        return [self.heads[0](x), self.heads[1](self.pool(x))]


def twice(x: Any) -> Any:
    return 2 * x + ops.sigmoid(x)


def around(*inside: Any) -> keras.Model:
    ids: Any = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(V, E, mask_zero=True, name="embedding")(ids)
    for layer in inside:
        x = layer(x)
    return drawn(keras.Model(ids, x))


def drawn(model: keras.Model) -> keras.Model:
    draw = np.random.default_rng(3)
    for variable in model.weights:
        variable.assign(draw.normal(0, 0.6, variable.shape))
    return model


def subclassed() -> keras.Model:
    model = Tagger(name="tagger")
    model(np.ones((2, 5), "int32"))
    return drawn(model)


LIVE: dict[str, Callable[[], keras.Model]] = {
    "attention": lambda: around(AdditiveAttention(name="attention"), layers.Dense(2)),
    "block": lambda: around(Block(name="block"), layers.GRU(U, return_sequences=True)),
    "lambda": lambda: around(layers.Lambda(lambda x: ops.mean(x[:, :, 1:], axis=1), name="mean")),
    "named lambda": lambda: around(layers.Lambda(twice, name="doubled"), layers.GRU(U)),
    "activation": lambda: around(layers.Dense(U, activation=twice), layers.LSTM(U, activation=twice)),
    "cell": lambda: around(
        layers.RNN(Gate(), return_sequences=True, name="rnn"), layers.RNN(Gate(2), name="last")
    ),
    "stack": lambda: around(layers.RNN([layers.LSTMCell(U), Gate(2)], name="rnn")),
    "subclassed": subclassed,
}


@functools.cache
def live(kind: str) -> tuple[keras.Model, Graph]:
    """One of these models and what is read of it, which leaves it as it was."""
    model = LIVE[kind]()
    before = {id(layer): dict(vars(layer)) for layer in model._flatten_layers()}
    graph = keras_side.read(model)
    assert {id(layer): vars(layer) for layer in model._flatten_layers()} == before
    return model, graph


@pytest.mark.parametrize("kind", LIVE)
def test_what_is_read_computes_what_the_code_does(kind: str) -> None:
    model, graph = live(kind)
    for N, T in ((3, 6), (2, 4)):
        ids = np.random.default_rng(N).integers(0, V, (N, T)).astype("int32")
        wanted = keras.tree.flatten(model(ids, training=False))
        for one, two in zip(wanted, reference.run(graph, [ids]), strict=True):
            np.testing.assert_allclose(np.asarray(one), two, rtol=1e-5, atol=2e-6)


def test_names_are_paths_and_weights_are_trained() -> None:
    _, graph = live("subclassed")
    names = {node.name for node in graph.nodes}
    assert {"embedding", "encoder", "block.norm", "block.named.rnn", "block.parts.0", "heads.1"} <= names
    assert isinstance(graph["pool.u"].op, Parameter)
    assert next(node.name for node in graph.nodes if type(node.op) is Dense).startswith("block.")
    assert [value.shape for value in graph.inputs] == [graph.inputs[0].shape]
    norms = [node for node in graph.nodes if node.name.startswith("block.norm")]
    assert len(norms) == 2
    assert norms[0].op is norms[1].op


def test_a_cell_is_the_body_of_a_scan() -> None:
    _, graph = live("cell")
    op = graph["rnn"].op
    assert isinstance(op, Scan)
    assert op.return_sequences
    assert op.state_sizes == (U,)
    assert "body.inner.weight" in op.weights()
    assert graph["rnn"].masks[0] is not None


def test_gradients_have_the_names_of_the_graph() -> None:
    model, _ = live("attention")
    ids = np.random.default_rng(5).integers(1, V, (2, 4)).astype("int32")
    _, found = keras_side.gradients(model, [ids], [np.ones((2, 2), "float32")])
    assert {"attention.matmul.weight", "attention.matmul.bias", "attention.u.value"} <= found.keys()
    assert all(np.abs(found[name]).max() > 0 for name in found if name.startswith("attention"))


CODE = types.ModuleType("mine")
vars(CODE).update(AdditiveAttention=AdditiveAttention, Gate=Gate, Block=Block, twice=twice)
vars(CODE)["mean"] = lambda x: ops.mean(x[:, :, 1:], axis=1)


@pytest.mark.parametrize("kind", ["attention", "lambda", "named lambda", "cell", "activation"])
def test_a_file_is_read_with_the_code_that_is_handed_over(kind: str, tmp_path: Path) -> None:
    model, graph = live(kind)
    for path in (tmp_path / "model.keras", tmp_path / "model.h5"):
        model.save(path)
        assert keras_side.read(path, code=CODE) == graph


def test_a_subclassed_model_is_read_from_its_archive(tmp_path: Path) -> None:
    model, graph = live("subclassed")
    model.save(tmp_path / "tagger.keras")
    own = {"Tagger": Tagger, "Block": Block, "AdditiveAttention": AdditiveAttention}
    assert keras_side.read(tmp_path / "tagger.keras", code=own) == graph


def test_code_that_lacks_what_the_file_needs(tmp_path: Path) -> None:
    for kind, named in (("attention", "'attention' (AdditiveAttention)"), ("lambda", "'mean' (Lambda)")):
        live(kind)[0].save(tmp_path / "model.keras")
        with pytest.raises(UnsupportedError, match=named.replace("(", r"\(").replace(")", r"\)")):
            keras_side.read(tmp_path / "model.keras", code={"other": twice})

    class Broken(AdditiveAttention):
        def build(self, shape: Any) -> None:
            raise RuntimeError("not today")

    live("attention")[0].save(tmp_path / "model.keras")
    with pytest.raises(FileError, match=r"model\.keras.*with this code"):
        keras_side.read(tmp_path / "model.keras", code={"AdditiveAttention": Broken})


class Signed(layers.Layer):
    def call(self, x: Any) -> Any:
        if ops.sum(x) > 0:
            return x
        return -x

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Counting(layers.Layer):
    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x * self.calls


class Remembering(layers.Layer):
    def call(self, x: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return x * self.seen


class Numpy(Signed):
    def call(self, x: Any) -> Any:
        return x * np.sum(x)


class Dice(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * np.random.default_rng().random()


class Noise(layers.Layer):
    def call(self, x: Any) -> Any:
        return x + keras.random.normal(ops.shape(x)[-1:])


REFUSED: dict[str, tuple[type[layers.Layer], str]] = {
    "a condition on values": (Signed, r"'own'.*Signed.*test_symbolic\.py, line \d+: if ops\.sum\(x\) > 0"),
    "state": (Counting, r"'own'.*Counting.*assign_add.*calls"),
    "state in Python": (Remembering, "'own'.*Remembering.*other numbers at every call"),
    "NumPy": (Numpy, r"'own'.*Numpy.*test_symbolic\.py, line \d+: return x \* np\.sum\(x\)"),
    "random numbers of Python": (Dice, "'own'.*Dice.*other numbers at every call"),
    "random numbers of Keras": (Noise, "other numbers at every call"),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.parametrize("kind, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recorded_is_refused(kind: type[layers.Layer], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        keras_side.read(around(kind(name="own")))


def test_a_subclassed_model_that_nobody_has_called() -> None:
    with pytest.raises(InputError, match="call it once on data, or give an example"):
        keras_side.read(Tagger())


def test_an_example_says_what_a_model_is_called_with() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layers.GRU(E, return_sequences=True)

        def call(self, x: Any, scale: Any) -> Any:
            return self.rnn(x) * ops.expand_dims(scale, 1)

    model, draw = Two(), np.random.default_rng(1)
    x, scale = (draw.normal(size=shape).astype("float32") for shape in ((2, 5, 3), (2, E)))
    model(x, scale)
    graph: Graph = keras_side.read(model, example=(x, scale))
    assert [value.name for value in graph.inputs] == ["x", "scale"]
    np.testing.assert_allclose(reference.run(graph, [x, scale])[0], model(x, scale), atol=1e-6)
    np.testing.assert_allclose(keras_side.run(model, [x, scale], graph)[0], model(x, scale), atol=1e-6)
